/* fuzz_replay: see core/fuzz_replay.h, where it lies for the layers below this one. */
#include "core/fuzz_replay.h"
