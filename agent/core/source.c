#include <stdint.h>
#include "api.h"
core_source *source_open(const source_config *config, char *error, int32_t error_size) { (void)config; (void)error; (void)error_size; return 0; }
int32_t source_start(core_source *source, int32_t priority, char *error, int32_t error_size) { (void)source; (void)priority; (void)error; (void)error_size; return 0; }
void source_stop(core_source *source) { (void)source; }
void source_close(core_source *source) { (void)source; }
int32_t source_add(core_source *source, const source_segment *segment) { (void)source; (void)segment; return 0; }
void source_quality(core_source *source, int32_t channel, uint32_t quality) { (void)source; (void)channel; (void)quality; }
void source_synch(core_source *source, int32_t synch) { (void)source; (void)synch; }
void source_pause(core_source *source, int32_t paused) { (void)source; (void)paused; }
void source_count(core_source *source, source_counters *counters) { (void)source; (void)counters; }
void source_wave(core_source *source, int64_t sample_us, int32_t *values) { (void)source; (void)sample_us; (void)values; }
int32_t source_frame(core_source *source, int64_t second, int32_t sample_count, uint8_t *frame, int32_t size) { (void)source; (void)second; (void)sample_count; (void)frame; (void)size; return 0; }
