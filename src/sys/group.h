// SPDX-License-Identifier: MIT
// Process groups whose leader is gone. Owns nothing.
#ifndef SYS_GROUP_H
#define SYS_GROUP_H

#include <sys/types.h>

// Say whether a process of the group still runs. One that has ended and was not reaped does not
// count: the first process of a container may never reap those that it inherits. [loop] Looks
// through /proc where there is one, at some 0.01 ms a process, unless the group is empty.
int group_is_alive(pid_t group);

#endif
