// GCC 12's AMX intrinsics do not say what memory they read: _tile_loadconfig claims 8 of
// its 64 bytes, _tile_loadd claims none. The optimiser then drops or moves the stores
// before them, and llama.cpp crashes on processors with AMX, in
// ggml_backend_amx_mul_mat. These say it.
#if defined(__AMX_TILE__)
#include <immintrin.h>

#define _tile_loadconfig(config) \
    __asm__ volatile("ldtilecfg %0" : : "m"(*(const char(*)[64])(config)) : "memory")

#undef _tile_loadd
#define _tile_loadd(tile, address, stride) HEADSIDE_TILE_LOADD(tile, address, stride)
#define HEADSIDE_TILE_LOADD(tile, address, stride)              \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile         \
                     :                                          \
                     : "r"((const void*)(address)), "r"((long)(stride)) \
                     : "memory")
#endif
