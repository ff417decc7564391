// SPDX-License-Identifier: MIT
// The jobs of piscina.mjs and bun.mjs.
export function nothing() {}

export function echo(value) {
  return value;
}

export function increment(x) {
  return x + 1;
}

export function compute(seed) {
  let x = seed;
  for (let i = 0; i < 100000; i++) x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff;
  return x;
}
