// likewise.views.crop for one image.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "vectors.h"

namespace {

// Which pixels of an axis each place of the view sums, and by what weights.
struct Taps {
  int count = 0;               // a place
  std::vector<int> first;      // [places]
  std::vector<float> weights;  // [places, count]

  // Room for `size` places up to a multiple of LANES.
  void resize(int size, int taps) {
    count = taps;
    first.resize(round_up(size));
    weights.resize(size_t(round_up(size)) * taps);
  }
};

// A place's centre in the view's [-1, 1]; places beyond the last stand where the last does.
float target(int place, int size) { return float(2 * std::min(place, size - 1) + 1) / float(size) - 1; }

// crop.filter_taps
void shrinking_taps(Taps& taps, float extent, float centre, int pixels, int size) {
  const float half = float(pixels) / 2, middle = (centre + 1) * half, edge = std::fabs(extent) * half + 0.5f;
  const float reach = std::max(std::fabs(extent) * (float(pixels) / float(size)), 1.0f);
  taps.resize(size, std::clamp(int(std::ceil(2 * reach)), 1, pixels));
  for (int place = 0; place < round_up(size); ++place) {
    const float wanted = middle + extent * (target(place, size) * half);
    const int first = std::clamp(int(std::floor(wanted - reach + 0.5f)), 0, pixels - taps.count);
    float* weights = &taps.weights[size_t(place) * taps.count];
    float sum = 0;
    for (int tap = 0; tap < taps.count; ++tap) {
      const float pixel = float(first + tap) + 0.5f;
      const float triangle = std::max(1 - std::fabs(pixel - wanted) / reach, 0.0f);
      weights[tap] = triangle * std::clamp(edge - std::fabs(pixel - middle), 0.0f, 1.0f);
      sum += weights[tap];
    }
    for (int tap = 0; tap < taps.count; ++tap) weights[tap] /= sum;
    taps.first[place] = first;
  }
}

// crop._enlarge
void enlarging_taps(Taps& taps, float extent, float centre, int pixels, int size) {
  const float inner = std::max(std::fabs(extent) - 1 / float(pixels), 0.0f);
  taps.resize(size, std::min(2, pixels));
  for (int place = 0; place < round_up(size); ++place) {
    const float wanted = std::clamp(target(place, size) * extent, -inner, inner) + centre;
    const float position = std::clamp(((wanted + 1) * float(pixels) - 1) / 2, 0.0f, float(pixels - 1));
    const int first = std::clamp(int(position), 0, pixels - taps.count);
    float* weights = &taps.weights[size_t(place) * taps.count];
    weights[0] = 1;
    if (taps.count == 2) weights[1] = position - float(first), weights[0] = 1 - weights[1];
    taps.first[place] = first;
  }
}

// The pixels that some places sum: the first, and the one after the last.
std::pair<int, int> reach(const Taps& taps, int from, int until) {
  const auto [least, greatest] = std::minmax_element(&taps.first[from], &taps.first[from] + (until - from));
  return {*least, *greatest + taps.count};
}

// Lines of one channel, from 8 bits to float32, so that no line is converted once for each sum that it is part of. Past
// a line's end, up to a multiple of LANES, lies whatever follows there; no sum that counts reads it.
void widen(const uint8_t* from, const uint8_t* end, int width, int lines, int stride, float* to) {
  for (int line = 0; line < lines; ++line, from += width, to += stride) {
    for (int column = 0; column < stride; column += LANES) {
      const int64_t there = end - (from + column);
      if (there >= LANES) {
        store(to + column, load_bytes(from + column), LANES);
      } else {  // the last bytes of the whole batch
        for (int i = 0; i < LANES; ++i) to[column + i] = i < there ? from[column + i] : 0;
      }
    }
  }
}

// `count` lines times their weights; COUNT says the same where it is not 0.
template <int COUNT>
inline Lanes weighted_sum(const float* from, size_t stride, const float* weights, int count) {
  Lanes sum = weights[0] * load(from);
  for (int tap = 1; tap < (COUNT ? COUNT : count); ++tap) sum += weights[tap] * load(from + tap * stride);
  return sum;
}

// LANES lines of the view, each a weighted sum of lines of the image, stored column by column: [width, LANES].
template <int COUNT>
void sum_down(const float* lines, int stride, const Taps& down, int place, int first_line, float* columns) {
  const float* weights = &down.weights[size_t(place) * down.count];
  for (int column = 0; column < stride; column += LANES) {
    Lanes sums[LANES];
    for (int lane = 0; lane < LANES; ++lane) {
      const float* from = lines + size_t(down.first[place + lane] - first_line) * stride + column;
      sums[lane] = weighted_sum<COUNT>(from, stride, weights + lane * down.count, down.count);
    }
    transpose(sums);
    std::memcpy(columns + size_t(column) * LANES, sums, sizeof sums);
  }
}

// The same lines, summed across and stored line by line into the view.
template <int COUNT>
void sum_across(const float* columns, const Taps& across, int left, int lines, int size, float* view) {
  for (int place = 0; place < size; place += LANES) {
    const float* weights = &across.weights[size_t(place) * across.count];
    Lanes sums[LANES];
    for (int lane = 0; lane < LANES; ++lane) {
      const float* from = columns + size_t(across.first[place + lane] - left) * LANES;
      sums[lane] = weighted_sum<COUNT>(from, LANES, weights + lane * across.count, across.count);
    }
    transpose(sums);
    for (int line = 0; line < lines; ++line)
      store(view + size_t(line) * size + place, clamped(sums[line]), size - place);
  }
}

constexpr int USUAL = 5;  // counts of taps below this are known to the compiler
constexpr decltype(&sum_down<0>) DOWN[USUAL] = {sum_down<0>, sum_down<1>, sum_down<2>, sum_down<3>, sum_down<4>};
constexpr decltype(&sum_across<0>) ACROSS[USUAL] = {sum_across<0>, sum_across<1>, sum_across<2>, sum_across<3>,
                                                    sum_across<4>};

// Room for one crop, kept from view to view.
struct CropRoom {
  Taps down, across;
  std::vector<float> lines;    // of the image, those that LANES lines of the view sum
  std::vector<float> columns;  // the sums of these, column by column

  explicit CropRoom(int width) : columns(size_t(width + LANES) * LANES) {}
};

// Decoded images of one shape, channel by channel.
struct Images {
  const uint8_t* pixels;
  const uint8_t* end;
  int channels, height, width;

  const uint8_t* plane(int64_t row, int channel) const { return pixels + (row * channels + channel) * height * width; }
};

// crop.resample of one image: lines down first, then across.
void crop(const Images& images, int64_t row, const float* box, int size, float* view, CropRoom& room) {
  const auto taps = std::max(images.height, images.width) > size ? shrinking_taps : enlarging_taps;
  taps(room.down, box[4], box[5], images.height, size);
  taps(room.across, box[0], box[2], images.width, size);
  for (float& weight : room.down.weights) weight /= 255;
  const auto [left, right] = reach(room.across, 0, size);
  const int stride = round_up(right - left);
  const auto down = DOWN[room.down.count < USUAL ? room.down.count : 0];
  const auto across = ACROSS[room.across.count < USUAL ? room.across.count : 0];
  for (int channel = 0; channel < images.channels; ++channel) {
    for (int place = 0; place < size; place += LANES) {
      const int places = std::min(LANES, size - place);
      const auto [first, last] = reach(room.down, place, place + places);
      const uint8_t* from = images.plane(row, channel) + int64_t(first) * images.width + left;
      room.lines.resize(size_t(last - first) * stride);
      widen(from, images.end, images.width, last - first, stride, room.lines.data());
      down(room.lines.data(), stride, room.down, place, first, room.columns.data());
      across(room.columns.data(), room.across, left, places, size, view + (size_t(channel) * size + place) * size);
    }
  }
}

// An image that is its view already, but for its mirroring: crop.as_they_are. Its pixels lie channel by channel, or
// (`interleaved`) with all channels of a pixel together, as decoders write them.
void as_it_is(const Images& images, int64_t row, bool mirrored, bool interleaved, float* view) {
  const int size = images.width, channels = images.channels;
  const int step = interleaved ? channels : 1;
  for (int channel = 0; channel < channels; ++channel) {
    for (int line = 0; line < size; ++line) {
      const int64_t start = interleaved ? int64_t(line) * size * channels + channel : int64_t(channel * size + line) * size;
      const uint8_t* from = images.plane(row, 0) + start;
      float* to = view + size_t(channel * size + line) * size;
      if (step == 3)  // known to the compiler
        for (int column = 0; column < size; ++column) to[column] = float(from[column * 3]) * (1.0f / 255);
      else
        for (int column = 0; column < size; ++column) to[column] = float(from[column * step]) * (1.0f / 255);
      if (mirrored) std::reverse(to, to + size);
    }
  }
}

}  // namespace
