// SPDX-License-Identifier: MIT
// Save one large file in Bun, whose documentation gives it the response. Usage: download.js PATH URL
const [path, url] = process.argv.slice(2);

fetch(url).then((response) => Bun.write(path, response));
