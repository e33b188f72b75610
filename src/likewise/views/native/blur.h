// likewise.views.blur for one channel of one view.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "vectors.h"

namespace {

// The Gaussian of blur.blur_matrix, without the outer taps that are too light to change a float32.
void gaussian(float sigma, int taps, std::vector<float>& kernel) {
  const int radius = taps / 2;
  kernel.assign(taps, 0);
  float sum = 0;
  for (int tap = 0; tap < taps; ++tap) {
    const float offset = float(tap - radius) / sigma;
    sum += kernel[tap] = std::exp(-0.5f * offset * offset);
  }
  for (float& weight : kernel) weight /= sum;
  int light = 0;
  while (light < radius && kernel[light] < 1e-8f) ++light;
  kernel.erase(kernel.end() - light, kernel.end());
  kernel.erase(kernel.begin(), kernel.begin() + light);
}

// Where the borders of an axis reflect a place, without repeating the edge.
int reflected(int place, int size) {
  place = std::abs(place);
  return place < size ? place : 2 * (size - 1) - place;
}

// VECTORS * LANES neighbours, each the sum of values that lie `stride` apart from there on.
template <int VECTORS>
inline void sum_apart(const float* from, size_t stride, const std::vector<float>& weights, Lanes* sums) {
  for (int vector = 0; vector < VECTORS; ++vector) sums[vector] = Lanes{};
  for (const float weight : weights) {
    for (int vector = 0; vector < VECTORS; ++vector) sums[vector] += weight * load(from + vector * LANES);
    from += stride;
  }
}

// A line of such sums. It may read, but does not write, beyond `size` up to a multiple of LANES.
template <bool CLAMPED>
void sum_line(const float* from, size_t stride, const std::vector<float>& weights, int size, float* to) {
  constexpr int TOGETHER = 2;
  int place = 0;
  for (; place + TOGETHER * LANES <= size; place += TOGETHER * LANES) {
    Lanes sums[TOGETHER];
    sum_apart<TOGETHER>(from + place, stride, weights, sums);
    for (int i = 0; i < TOGETHER; ++i) store(to + place + i * LANES, CLAMPED ? clamped(sums[i]) : sums[i], LANES);
  }
  for (; place < size; place += LANES) {
    Lanes sum;
    sum_apart<1>(from + place, stride, weights, &sum);
    store(to + place, CLAMPED ? clamped(sum) : sum, size - place);
  }
}

// Room for the blur of one channel, kept from view to view.
struct BlurRoom {
  std::vector<float> kernel;
  std::vector<float> padded;          // LANES lines of the view with their reflections
  std::vector<float> blurred_across;  // the channel with its reflected lines

  BlurRoom(int size, int taps) : padded(size_t(round_up(size) + taps) * LANES) {
    blurred_across.resize(size_t(size + taps) * round_up(size));
  }
};

// A line with what the borders reflect of it before and behind.
void pad(const float* from, int size, int radius, float* to) {
  std::memcpy(to + radius, from, sizeof(float) * size);
  for (int place = 1; place <= radius; ++place) {
    to[radius - place] = from[reflected(-place, size)];
    to[radius + size - 1 + place] = from[reflected(size - 1 + place, size)];
  }
}

// blur.gaussian_blur of one channel, in place.
void blur(float* view, int size, BlurRoom& room) {
  const int taps = int(room.kernel.size()), radius = taps / 2, stride = round_up(size), padded = stride + taps;
  const auto line_at = [&](int line) { return &room.blurred_across[size_t(radius + line) * stride]; };
  for (int first = 0; first < size; first += LANES) {
    const int lines = std::min(LANES, size - first);
    // All padded before the first is summed: a sum that reads what was written just before would wait for it.
    for (int line = 0; line < lines; ++line)
      pad(view + size_t(first + line) * size, size, radius, &room.padded[size_t(line) * padded]);
    for (int line = 0; line < lines; ++line)
      sum_line<false>(&room.padded[size_t(line) * padded], 1, room.kernel, size, line_at(first + line));
  }
  for (int place = 1; place <= radius; ++place) {
    std::memcpy(line_at(-place), line_at(reflected(-place, size)), sizeof(float) * stride);
    std::memcpy(line_at(size - 1 + place), line_at(reflected(size - 1 + place, size)), sizeof(float) * stride);
  }
  for (int line = 0; line < size; ++line)
    sum_line<true>(line_at(line - radius), stride, room.kernel, size, view + size_t(line) * size);
}

}  // namespace
