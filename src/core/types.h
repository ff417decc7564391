// SPDX-License-Identifier: MIT
// Forward declarations of core's types, so that its headers can name each other.
#ifndef CORE_TYPES_H
#define CORE_TYPES_H

#include <stdint.h>

typedef struct rt rt;
typedef struct task task;
typedef struct scope scope;
typedef struct wait_ops wait_ops;
typedef struct work work;

#endif
