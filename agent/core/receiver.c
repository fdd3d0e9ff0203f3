#include <stdint.h>
#include "api.h"
core_receiver *core_open(const core_config *config, char *error, int32_t error_size) { (void)config; (void)error; (void)error_size; return 0; }
int32_t core_start(core_receiver *receiver, int32_t priority, char *error, int32_t error_size) { (void)receiver; (void)priority; (void)error; (void)error_size; return 0; }
void core_stop(core_receiver *receiver) { (void)receiver; }
void core_close(core_receiver *receiver) { (void)receiver; }
int32_t core_event_fd(core_receiver *receiver) { (void)receiver; return 0; }
void core_drain(core_receiver *receiver) { (void)receiver; }
void core_read(core_receiver *receiver, core_state *state) { (void)receiver; (void)state; }
void core_count(core_receiver *receiver, core_counters *counters) { (void)receiver; (void)counters; }
int64_t core_samples(core_receiver *receiver, int64_t since, int64_t *times, int32_t *values, int64_t maximum, int64_t *next) { (void)receiver; (void)since; (void)times; (void)values; (void)maximum; (void)next; return 0; }
int32_t core_frame(core_receiver *receiver, const uint8_t *frame, int64_t length, int64_t now_us) { (void)receiver; (void)frame; (void)length; (void)now_us; return 0; }
void core_feed(core_receiver *receiver, const int32_t *values, const int64_t *times, int64_t count) { (void)receiver; (void)values; (void)times; (void)count; }
void core_quiet(core_receiver *receiver, int64_t now_us) { (void)receiver; (void)now_us; }
