// SPDX-License-Identifier: MIT
// The empty script of the start-up benchmark.
