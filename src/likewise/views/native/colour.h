// likewise.views.colour for one view.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace {

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

enum Change { BRIGHTEN, CONTRAST, SATURATE, SHIFT_HUE, COLOUR_OPS };  // the order of colour.COLOUR_OPS
constexpr int GREY = COLOUR_OPS;                                      // comes last, and needs no factor

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

}  // namespace
