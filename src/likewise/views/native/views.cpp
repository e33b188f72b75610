// The views of likewise.views.batched on a CPU, one image after the other, so that a view stays in the cache while it
// is made. Chance has no part here: the plan (likewise.views.plan.Plan) tells everything. Equal to the tensor
// operations up to rounding; each function names the Python function that defines it.
//
// Compiled on first use by library.py. Loops over pixels are written for the compiler to vectorise; where it cannot
// (sums over lines, transposition) they use the vector types that GCC and Clang share.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#ifdef __AVX2__
#include <immintrin.h>
#endif
#ifdef __linux__
#include <sys/mman.h>
#endif

namespace {

// ---------------------------------------------------------------------------------------------------------- vectors

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

// ------------------------------------------------------------------------------------------------------------- crop

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

// ----------------------------------------------------------------------------------------------------------- colour

constexpr float RED = 0.2989f, GREEN = 0.587f, BLUE = 0.114f;

inline float within(float value) { return std::min(std::max(value, 0.0f), 1.0f); }

inline float luminance(float red, float green, float blue) { return red * RED + green * GREEN + blue * BLUE; }

// Some pixels of a view, channel by channel: few enough to stay in the nearest cache.
struct Strip {
  float* first;    // of the red channel, or the only one
  size_t channel;  // floats from one channel to the next
  int channels, count;

  float* of(int place) const { return first + place * channel; }
};

// colour.brighten
void brighten(const Strip& strip, float factor) {
  for (int channel = 0; channel < strip.channels; ++channel) {
    float* __restrict values = strip.of(channel);
    for (int i = 0; i < strip.count; ++i) values[i] = within(values[i] * factor);
  }
}

// The sum over colour.contrast's luminance.
float luminance_sum(const Strip& strip) {
  const float* red = strip.of(0);
  float sum = 0;
  if (strip.channels < 3) {
    for (int i = 0; i < strip.count; ++i) sum += red[i];
    return sum;
  }
  const float *green = strip.of(1), *blue = strip.of(2);
  for (int i = 0; i < strip.count; ++i) sum += luminance(red[i], green[i], blue[i]);
  return sum;
}

// colour.contrast
void contrast(const Strip& strip, float factor, float mean) {
  const float other = mean * (1 - factor);
  for (int channel = 0; channel < strip.channels; ++channel) {
    float* __restrict values = strip.of(channel);
    for (int i = 0; i < strip.count; ++i) values[i] = within(values[i] * factor + other);
  }
}

// colour.saturate
void saturate(const Strip& strip, float factor) {
  float *__restrict red = strip.of(0), *__restrict green = strip.of(1), *__restrict blue = strip.of(2);
  for (int i = 0; i < strip.count; ++i) {
    const float other = luminance(red[i], green[i], blue[i]) * (1 - factor);
    red[i] = within(red[i] * factor + other);
    green[i] = within(green[i] * factor + other);
    blue[i] = within(blue[i] * factor + other);
  }
}

// colour.shift_hue
void shift_hue(const Strip& strip, float turn) {
  float *__restrict red = strip.of(0), *__restrict green = strip.of(1), *__restrict blue = strip.of(2);
  for (int i = 0; i < strip.count; ++i) {
    const float r = red[i], g = green[i], b = blue[i];
    const float least = std::min(std::min(r, g), b), greatest = std::max(std::max(r, g), b);
    const float chroma = greatest - least, per_chroma = 1 / std::max(chroma, 1e-12f);
    const float by_red = (g - b) * per_chroma, by_green = (b - r) * per_chroma + 2, by_blue = (r - g) * per_chroma + 4;
    float hue = (greatest == r ? by_red : greatest == g ? by_green : by_blue) + turn * 6;
    hue -= 6 * std::floor(hue * (1.0f / 6));
    red[i] = least + within(std::fabs(hue - 3) - 1) * chroma;
    green[i] = least + within(2 - std::fabs(hue - 2)) * chroma;
    blue[i] = least + within(2 - std::fabs(hue - 4)) * chroma;
  }
}

// colour.grey
void grey(const Strip& strip) {
  float *__restrict red = strip.of(0), *__restrict green = strip.of(1), *__restrict blue = strip.of(2);
  for (int i = 0; i < strip.count; ++i) red[i] = green[i] = blue[i] = luminance(red[i], green[i], blue[i]);
}

// colour.solarize
void solarize(float* __restrict values, size_t count) {
  for (size_t i = 0; i < count; ++i) values[i] = values[i] >= 0.5f ? 1 - values[i] : values[i];
}

enum Change { BRIGHTEN, CONTRAST, SATURATE, SHIFT_HUE, CHANGES };  // the order of colour.CHANGES
constexpr int GREY = CHANGES;                                      // comes last, and needs no factor

struct Step {
  int change;
  float factor;
  float mean = 0;  // for contrast
};

void apply(const Step& step, const Strip& strip) {
  switch (step.change) {
    case BRIGHTEN: return brighten(strip, step.factor);
    case CONTRAST: return contrast(strip, step.factor, step.mean);
    case SATURATE: return saturate(strip, step.factor);
    case SHIFT_HUE: return shift_hue(strip, step.factor);
    case GREY: return grey(strip);
  }
}

constexpr int STRIP = 1024;  // pixels; three channels of them fill a quarter of a common nearest cache

int next_contrast(const Step* steps, int from, int count) {
  while (from < count && steps[from].change != CONTRAST) ++from;
  return from;
}

// All steps strip by strip, in as few passes as can be: contrast alone must have seen every pixel before it starts.
void change_colours(Step* steps, int count, float* view, int channels, int pixels) {
  if (count == 0) return;
  int from = 0, until = next_contrast(steps, 0, count);
  while (true) {
    double sum = 0;
    for (int pixel = 0; pixel < pixels; pixel += STRIP) {
      const Strip strip = {view + pixel, size_t(pixels), channels, std::min(STRIP, pixels - pixel)};
      for (int step = from; step < until; ++step) apply(steps[step], strip);
      if (until < count) sum += luminance_sum(strip);
    }
    if (until == count) return;
    steps[until].mean = float(sum / pixels);
    from = until;
    until = next_contrast(steps, from + 1, count);
  }
}

// ------------------------------------------------------------------------------------------------------------- blur

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

// Room that a thread keeps from view to view.
struct Workspace {
  Taps down, across;
  std::vector<float> lines;           // of the image, those that LANES lines of the view sum
  std::vector<float> columns;         // the sums of these, column by column
  std::vector<float> kernel;          // of the blur
  std::vector<float> padded;          // LANES lines of the view with their reflections
  std::vector<float> blurred_across;  // a channel of the view with its reflected lines

  Workspace(int width, int size, int taps) {
    columns.resize(size_t(width + LANES) * LANES);
    padded.resize(size_t(round_up(size) + taps) * LANES);
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
void blur(float* view, int size, Workspace& room) {
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

// ------------------------------------------------------------------------------------------------------------ views

}  // namespace

// A batch and its plan: likewise.views.native.views.Work has the same fields. Parts of the plan that are null are left
// out.
struct Work {
  const uint8_t* images;  // [rows, channels, height, width]
  float* views;           // [rows, channels, size, size]
  const float* box;       // [rows, 2, 3]
  const float* factors;   // [rows, CHANGES]
  const int64_t* order;   // [rows, CHANGES], -1 leaves out
  const uint8_t* grey;    // [rows], as all that follow
  const uint8_t* blurred;
  const float* sigma;
  const uint8_t* solarized;
  int64_t rows, channels, height, width, size, blur_taps, threads;
};

namespace {

// crop.resample: lines down first, then across.
void crop(const Work& work, int64_t row, float* view, Workspace& room) {
  const int height = int(work.height), width = int(work.width), size = int(work.size), channels = int(work.channels);
  const float* box = work.box + row * 6;
  const auto taps = std::max(height, width) > size ? shrinking_taps : enlarging_taps;
  taps(room.down, box[4], box[5], height, size);
  taps(room.across, box[0], box[2], width, size);
  for (float& weight : room.down.weights) weight /= 255;
  const auto [left, right] = reach(room.across, 0, size);
  const uint8_t* end = work.images + work.rows * channels * height * width;
  const int stride = round_up(right - left);
  const auto down = DOWN[room.down.count < USUAL ? room.down.count : 0];
  const auto across = ACROSS[room.across.count < USUAL ? room.across.count : 0];
  for (int channel = 0; channel < channels; ++channel) {
    const uint8_t* plane = work.images + (row * channels + channel) * height * width;
    float* to = view + size_t(channel) * size * size;
    for (int place = 0; place < size; place += LANES) {
      const auto [first, last] = reach(room.down, place, std::min(place + LANES, size));
      room.lines.resize(size_t(last - first) * stride);
      widen(plane + int64_t(first) * width + left, end, width, last - first, stride, room.lines.data());
      down(room.lines.data(), stride, room.down, place, first, room.columns.data());
      across(room.columns.data(), room.across, left, std::min(LANES, size - place), size, to + size_t(place) * size);
    }
  }
}

// The changes of colour that the plan holds for a row, first to last.
int colour_steps(const Work& work, int64_t row, Step* steps) {
  int count = 0;
  for (int turn = 0; work.order && turn < CHANGES; ++turn) {
    const int64_t change = work.order[row * CHANGES + turn];
    const bool needs_colour = change == SATURATE || change == SHIFT_HUE;
    if (change >= 0 && (work.channels >= 3 || !needs_colour))
      steps[count++] = {int(change), work.factors[row * CHANGES + change]};
  }
  if (work.grey && work.grey[row] && work.channels >= 3) steps[count++] = {GREY, 0};
  return count;
}

void make_view(const Work& work, int64_t row, Workspace& room) {
  const int channels = int(work.channels), size = int(work.size), pixels = size * size;
  float* view = work.views + row * channels * pixels;
  crop(work, row, view, room);
  Step steps[CHANGES + 1];
  change_colours(steps, colour_steps(work, row, steps), view, channels, pixels);
  if (work.blurred && work.blurred[row]) {
    gaussian(work.sigma[row], int(work.blur_taps), room.kernel);
    for (int channel = 0; channel < channels; ++channel) blur(view + size_t(channel) * pixels, size, room);
  }
  if (work.solarized && work.solarized[row]) solarize(view, size_t(channels) * pixels);
}

}  // namespace

#ifdef __linux__
// New memory in pages of 2 MiB where the system lets us choose: the first touch of each 4 KiB would otherwise cost more
// than the view that is written there.
void ask_for_huge_pages(float* from, size_t count) {
  constexpr uintptr_t PAGE = 1 << 21;
  const uintptr_t first = (reinterpret_cast<uintptr_t>(from) + PAGE - 1) / PAGE * PAGE;
  const uintptr_t last = reinterpret_cast<uintptr_t>(from + count) / PAGE * PAGE;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
}
#endif

// Makes every row's view. Threads live as long as the call, so that a process may fork between calls; which of them
// makes a view does not change it.
extern "C" void likewise_make_views(const Work* work) {
#ifdef __linux__
  ask_for_huge_pages(work->views, size_t(work->rows * work->channels * work->size * work->size));
#endif
  std::atomic<int64_t> next{0};
  const auto labour = [work, &next] {
    Workspace room(int(work->width), int(work->size), int(work->blur_taps));
    for (int64_t row; (row = next++) < work->rows;) make_view(*work, row, room);
  };
  std::vector<std::thread> others;
  try {
    for (int64_t other = 1; other < work->threads; ++other) others.emplace_back(labour);
  } catch (const std::system_error&) {  // no more threads to be had: fewer do all the work
  }
  labour();
  for (std::thread& other : others) other.join();
}
