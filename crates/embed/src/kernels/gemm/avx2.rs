//! The product with AVX2: weights widened to 16 bits, `vpmaddwd`, `vpaddd`.
//!
//! `vpmaddubsw` would do twice as much per instruction, but its 16-bit sums
//! saturate at full-range bytes; results must equal the portable ones.

use std::arch::x86_64::*;

use super::PackedDense;

/// Rows of activations in one tile: eight sums, two weights, one activation.
const ROWS: usize = 4;
/// Outputs of one panel.
const SIDE: usize = 16;

/// # Safety
/// The machine has AVX2; lengths as checked by the caller.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn multiply(words: &[i16], scales: &[f32], dense: &PackedDense, out: &mut [f32]) {
    let rows = out.len() / dense.outputs;
    for panel in 0..dense.outputs / SIDE {
        let mut row = 0;
        while row < rows {
            let count = ROWS.min(rows - row);
            // SAFETY: `row + count` rows and the panel exist in all slices.
            unsafe {
                match count {
                    4 => tile::<4>(words, scales, dense, out, row, panel),
                    3 => tile::<3>(words, scales, dense, out, row, panel),
                    2 => tile::<2>(words, scales, dense, out, row, panel),
                    _ => tile::<1>(words, scales, dense, out, row, panel),
                }
            }
            row += count;
        }
    }
}

/// # Safety
/// As `multiply`; rows `row..row + R` and the panel exist.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn tile<const R: usize>(
    words: &[i16],
    scales: &[f32],
    dense: &PackedDense,
    out: &mut [f32],
    row: usize,
    panel: usize,
) {
    let inputs = dense.inputs;
    // SAFETY: a panel has SIDE * inputs bytes, a row of words `inputs`; loads
    // step through both in parts that divide them. Stores cover the SIDE
    // outputs of the panel in each row.
    unsafe {
        let weights = dense.weights.as_ptr().add(panel * SIDE * inputs);
        let words = words.as_ptr().add(row * inputs);
        let mut sums = [[_mm256_setzero_si256(); 2]; R];
        for pair in 0..inputs / 2 {
            let step = weights.add(pair * SIDE * 2);
            let left = _mm256_cvtepi8_epi16(_mm_loadu_si128(step.cast()));
            let right = _mm256_cvtepi8_epi16(_mm_loadu_si128(step.add(16).cast()));
            for (r, sum) in sums.iter_mut().enumerate() {
                let both = words
                    .add(r * inputs + pair * 2)
                    .cast::<i32>()
                    .read_unaligned();
                let both = _mm256_set1_epi32(both);
                sum[0] = _mm256_add_epi32(sum[0], _mm256_madd_epi16(left, both));
                sum[1] = _mm256_add_epi32(sum[1], _mm256_madd_epi16(right, both));
            }
        }
        for (r, sum) in sums.iter().enumerate() {
            let row_scale = _mm256_set1_ps(scales[row + r]);
            for (half, sum) in sum.iter().enumerate() {
                let output = panel * SIDE + half * 8;
                let scale = _mm256_mul_ps(
                    row_scale,
                    _mm256_loadu_ps(dense.scales.as_ptr().add(output)),
                );
                // Not fused, so that every build rounds alike.
                let product = _mm256_mul_ps(_mm256_cvtepi32_ps(*sum), scale);
                let bias = _mm256_loadu_ps(dense.bias.as_ptr().add(output));
                let to = out.as_mut_ptr().add((row + r) * dense.outputs + output);
                _mm256_storeu_ps(to, _mm256_add_ps(product, bias));
            }
        }
    }
}

/// # Safety
/// The machine has AVX2.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn peak_batch() -> u64 {
    let repeats = 200_000u64;
    let mut sums = [_mm256_setzero_si256(); 8];
    let left = _mm256_set1_epi16(std::hint::black_box(3));
    let mut right = _mm256_set1_epi16(std::hint::black_box(5));
    for _ in 0..repeats {
        // Keeps the products from being hoisted out of the loop.
        // SAFETY: an empty assembly block that only pretends to change `right`.
        unsafe {
            std::arch::asm!("/* {0} */", inout(ymm_reg) right, options(nomem, nostack, preserves_flags));
        }
        for sum in &mut sums {
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(left, right));
            // SAFETY: as above; keeps the eight equal sums apart.
            unsafe {
                std::arch::asm!(
                    "/* {0} */",
                    inout(ymm_reg) * sum,
                    options(nomem, nostack, preserves_flags)
                );
            }
        }
    }
    std::hint::black_box(sums);
    repeats * 8 * 16 * 2
}
