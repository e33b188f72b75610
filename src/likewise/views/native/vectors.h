// As many floats as the processor computes with at once, by the vector types that GCC and Clang share.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX2__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif
typedef float Lanes __attribute__((vector_size(4 * LANES)));
typedef int32_t Places __attribute__((vector_size(4 * LANES)));

int round_up(int count) { return (count + LANES - 1) / LANES * LANES; }

inline Lanes load(const float* from) {
  Lanes lanes;
  std::memcpy(&lanes, from, sizeof lanes);
  return lanes;
}

inline void store(float* to, Lanes lanes, int count) {
  if (count >= LANES)
    std::memcpy(to, &lanes, sizeof lanes);
  else
    std::memcpy(to, &lanes, sizeof(float) * count);
}

// Instructions by name where the processor has one: GCC 12 finds a detour of ten.
inline Lanes load_bytes(const uint8_t* from) {
#if defined(__AVX512F__)
  return (Lanes)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)from)));
#elif defined(__AVX2__)
  return (Lanes)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)from)));
#else
  Lanes lanes;
  for (int i = 0; i < LANES; ++i) lanes[i] = from[i];
  return lanes;
#endif
}

inline Lanes clamped(Lanes lanes) {
  const Lanes zero = {}, one = zero + 1.0f;
  lanes = lanes < zero ? zero : lanes;
  return lanes > one ? one : lanes;
}

// Where two rows' values come from when they exchange STEP columns: places below LANES are the first row's own.
constexpr int exchanged_from(int place, int step, bool first) {
  if (first) return place & step ? LANES + place - step : place;
  return place & step ? LANES + place : place + step;
}

template <int STEP, bool FIRST, size_t... PLACE>
inline Lanes exchanged(Lanes a, Lanes b, std::index_sequence<PLACE...>) {
#ifdef __clang__
  return __builtin_shufflevector(a, b, exchanged_from(PLACE, STEP, FIRST)...);
#else
  return __builtin_shuffle(a, b, Places{exchanged_from(PLACE, STEP, FIRST)...});
#endif
}

template <int STEP>
inline void exchange(Lanes* rows) {
  constexpr auto places = std::make_index_sequence<LANES>();
#pragma GCC unroll 16
  for (int row = 0; row < LANES; ++row) {
    if (row & STEP) continue;
    const Lanes a = rows[row], b = rows[row + STEP];
    rows[row] = exchanged<STEP, true>(a, b, places);
    rows[row + STEP] = exchanged<STEP, false>(a, b, places);
  }
}

// LANES x LANES values, lines for columns.
inline void transpose(Lanes* rows) {
  if constexpr (LANES > 8) exchange<8>(rows);
  if constexpr (LANES > 4) exchange<4>(rows);
  exchange<2>(rows);
  exchange<1>(rows);
}

}  // namespace
