/* SPDX-License-Identifier: MIT */
#include "../qalloc.h"
