#include <stdint.h>
#include "api.h"
