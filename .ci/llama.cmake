# Read by llama-cpp-python's CMake project right after its `project()`.

# The package forces this option into CMake's cache, where no setting can undo it; a
# normal variable hides the cached one.
set(LLAMA_BUILD_COMMON OFF)

# A wheel cannot hold links: versioned names would mean each library three times.
set(CMAKE_PLATFORM_NO_VERSIONED_SONAME ON)

# Only this target holds AMX code; see the header.
add_compile_options(
    "$<$<AND:$<STREQUAL:$<TARGET_PROPERTY:NAME>,ggml-cpu>,$<COMPILE_LANG_AND_ID:CXX,GNU>>:SHELL:-include ${CMAKE_CURRENT_LIST_DIR}/amx.h>"
)
