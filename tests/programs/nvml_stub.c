// Stands in for libnvidia-ml.so.1, the NVIDIA driver's library, as far as terrarium-nvml asks it.
// Becomes a shared library, not a program. Its answers come from the environment:
//
//   NVML_STUB_FILE   lines `GPU PID BYTES [graphics]`, BYTES -1 for not known; read at each call
//   NVML_STUB_USE    use of each GPU in percent (50)
//   NVML_STUB_GPUS   how many GPUs there are (1)
//   NVML_STUB_HANG=1 initialising never returns
//   NVML_STUB_FAIL=1 initialising fails: driver not loaded
//   NVML_STUB_LOST=N GPU N has fallen off the bus
//   NVML_STUB_MIG=1  each GPU has one MIG instance, which alone tells its processes
//
// With -DNVML_STUB_V2 it is a driver without functions of version 3, with -DNVML_STUB_WIDE one
// of those (535.43 to 535.86) whose version 3 writes larger entries.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	SUCCESS = 0,
	INVALID_ARGUMENT = 2,
	NO_PERMISSION = 4,
	NOT_FOUND = 6,
	INSUFFICIENT_SIZE = 7,
	DRIVER_NOT_LOADED = 9,
	GPU_IS_LOST = 15,
	UNKNOWN = 999,
};

struct info {
	unsigned pid;
	unsigned long long bytes;
	unsigned gpu_instance, compute_instance;
};

struct wide_info {
	struct info info;
	unsigned long long protected_bytes;
};

// A handle is a GPU's index + 1, with this bit for its MIG instance.
#define INSTANCE 0x100u

static unsigned number(const char *variable, unsigned otherwise)
{
	const char *text = getenv(variable);
	return text && *text ? (unsigned)atoi(text) : otherwise;
}

int nvmlInit_v2(void)
{
	while (number("NVML_STUB_HANG", 0))
		pause();
	return number("NVML_STUB_FAIL", 0) ? DRIVER_NOT_LOADED : SUCCESS;
}

int nvmlShutdown(void)
{
	return SUCCESS;
}

int nvmlSystemGetDriverVersion(char *version, unsigned length)
{
#if defined NVML_STUB_WIDE
	const char *text = "535.54.03";
#elif defined NVML_STUB_V2
	const char *text = "470.256.02";
#else
	const char *text = "580.82.07";
#endif
	if (length <= strlen(text))
		return INSUFFICIENT_SIZE;
	strcpy(version, text);
	return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
	*count = number("NVML_STUB_GPUS", 1);
	return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned gpu, uintptr_t *device)
{
	if (gpu >= number("NVML_STUB_GPUS", 1))
		return INVALID_ARGUMENT;
	if (gpu == number("NVML_STUB_LOST", -1u))
		return GPU_IS_LOST;
	*device = gpu + 1;
	return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(uintptr_t device, unsigned rates[2])
{
	(void)device;
	rates[0] = number("NVML_STUB_USE", 50);
	rates[1] = 0;
	return SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(uintptr_t device, unsigned *count)
{
	(void)device;
	*count = number("NVML_STUB_MIG", 0) ? 7 : 0;
	return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(uintptr_t device, unsigned index, uintptr_t *instance)
{
	if (!number("NVML_STUB_MIG", 0) || index != 1)
		return NOT_FOUND;
	*instance = device | INSTANCE;
	return SUCCESS;
}

// Like the library's: `count` is the room on entry, and how many there are on return.
static int list(uintptr_t device, unsigned *count, void *infos, int wanted_graphics, size_t size)
{
	unsigned room = *count, gpu, pid;
	long long bytes;
	char line[256], kind[16];
	FILE *file = NULL;
	const char *path = getenv("NVML_STUB_FILE");

	*count = 0;
	if (number("NVML_STUB_MIG", 0) && !(device & INSTANCE))
		return NO_PERMISSION;
	if (!path)
		return SUCCESS;
	if (!(file = fopen(path, "r")))
		return UNKNOWN;
	while (fgets(line, sizeof line, file)) {
		int words = sscanf(line, "%u %u %lld %15s", &gpu, &pid, &bytes, kind);
		int graphics = words == 4 && !strcmp(kind, "graphics");
		if (words < 3 || gpu + 1 != (device & ~(uintptr_t)INSTANCE) || graphics != wanted_graphics)
			continue;
		if (*count < room) {
			struct wide_info entry = {{pid, (unsigned long long)bytes, -1u, -1u}, 0};
			memcpy((char *)infos + *count * size, &entry, size);
		}
		++*count;
	}
	fclose(file);
	return *count > room ? INSUFFICIENT_SIZE : SUCCESS;
}

#define LISTS(version, size) \
	int nvmlDeviceGetComputeRunningProcesses_##version(uintptr_t device, unsigned *count, void *infos) \
	{ \
		return list(device, count, infos, 0, size); \
	} \
	int nvmlDeviceGetGraphicsRunningProcesses_##version(uintptr_t device, unsigned *count, void *infos) \
	{ \
		return list(device, count, infos, 1, size); \
	}

LISTS(v2, sizeof(struct info))
#if defined NVML_STUB_WIDE
LISTS(v3, sizeof(struct wide_info))
#elif !defined NVML_STUB_V2
LISTS(v3, sizeof(struct info))
#endif
