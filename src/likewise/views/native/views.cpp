// The views of likewise.views.batched on a CPU, one image after the other, so that a view stays in the cache while it
// is made. Nothing is random here: likewise.views.image.view_params.ViewParams determines everything. Equal to the tensor
// operations up to rounding; each function names the Python function that defines it, in a header of the same name.
//
// Compiled on first use by library.py. Loops over pixels are written for the compiler to vectorise; where it cannot
// (sums over lines, transposition) they use vectors.h.

#include <atomic>
#include <cstdint>
#include <system_error>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "blur.h"
#include "colour.h"
#include "crop.h"

// A batch and its parameters: likewise.views.native.views.Work has the same fields. Parameters that are null are left
// out.
struct Work {
  const uint8_t* images;  // [rows, channels, height, width]
  float* views;           // [rows, channels, size, size]
  const float* box;       // [rows, 2, 3]
  const float* factors;   // [rows, COLOUR_OPS]
  const int64_t* order;   // [rows, COLOUR_OPS], -1 leaves out
  const uint8_t* grey;    // [rows], as all that follow
  const uint8_t* blurred;
  const float* sigma;
  const uint8_t* solarized;
  int64_t rows, channels, height, width, size, blur_taps, threads;
  int64_t is_cut;  // 1: images are of the view's size, and a box says only whether it is mirrored
  int64_t interleaved;  // 1: images are [rows, height, width, channels]; for those that are cut
};

namespace {

// Room that a thread keeps from view to view.
struct Workspace {
  CropRoom crop;
  BlurRoom blur;

  explicit Workspace(const Work& work)
      : crop(int(work.width)), blur(int(work.size), int(work.blur_taps)) {}
};

// The colour augmentations of a row, in the order of application.
int colour_steps(const Work& work, int64_t row, Step* steps) {
  int count = 0;
  for (int turn = 0; work.order && turn < COLOUR_OPS; ++turn) {
    const int64_t change = work.order[row * COLOUR_OPS + turn];
    const bool needs_colour = change == SATURATE || change == SHIFT_HUE;
    if (change >= 0 && (work.channels >= 3 || !needs_colour))
      steps[count++] = {int(change), work.factors[row * COLOUR_OPS + change]};
  }
  if (work.grey && work.grey[row] && work.channels >= 3) steps[count++] = {GREY, 0};
  return count;
}

void make_view(const Work& work, int64_t row, Workspace& room) {
  const int channels = int(work.channels), size = int(work.size), pixels = size * size;
  float* view = work.views + row * channels * pixels;
  const int64_t bytes = work.rows * channels * work.height * work.width;
  const Images images = {work.images, work.images + bytes, channels, int(work.height), int(work.width)};
  const float* box = work.box + row * 6;
  if (work.is_cut)
    as_it_is(images, row, box[0] < 0, work.interleaved, view);
  else
    crop(images, row, box, size, view, room.crop);
  Step steps[COLOUR_OPS + 1];
  change_colours(steps, colour_steps(work, row, steps), view, channels, pixels);
  if (work.blurred && work.blurred[row]) {
    gaussian(work.sigma[row], int(work.blur_taps), room.blur.kernel);
    for (int channel = 0; channel < channels; ++channel) blur(view + size_t(channel) * pixels, size, room.blur);
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
    Workspace room(*work);
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
