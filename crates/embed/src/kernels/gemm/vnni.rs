//! The product with AVX-512 VNNI: `vpdpbusd` adds four byte products to each of
//! sixteen 32-bit sums, without saturating in between.

use std::arch::x86_64::*;

use super::PackedDense;

/// Rows of activations in one tile. With four vectors of outputs that is 24
/// sums, four weights and one activation: 29 of 32 registers, and ten loads for
/// 24 products.
const ROWS: usize = 6;
/// Outputs of one panel: four vectors.
const SIDE: usize = 64;

/// # Safety
/// The machine has AVX512F, BW and VNNI; lengths as checked by the caller.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn multiply(bytes: &[u8], scales: &[f32], dense: &PackedDense, out: &mut [f32]) {
    let rows = out.len() / dense.outputs;
    for panel in 0..dense.outputs / SIDE {
        let mut row = 0;
        while row < rows {
            let count = ROWS.min(rows - row);
            // SAFETY: `row + count` rows and the panel exist in all slices.
            unsafe {
                match count {
                    6 => tile::<6>(bytes, scales, dense, out, row, panel),
                    5 => tile::<5>(bytes, scales, dense, out, row, panel),
                    4 => tile::<4>(bytes, scales, dense, out, row, panel),
                    3 => tile::<3>(bytes, scales, dense, out, row, panel),
                    2 => tile::<2>(bytes, scales, dense, out, row, panel),
                    _ => tile::<1>(bytes, scales, dense, out, row, panel),
                }
            }
            row += count;
        }
    }
}

/// # Safety
/// As `multiply`; rows `row..row + R` and the panel exist.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn tile<const R: usize>(
    bytes: &[u8],
    scales: &[f32],
    dense: &PackedDense,
    out: &mut [f32],
    row: usize,
    panel: usize,
) {
    let inputs = dense.inputs;
    // SAFETY: a panel has SIDE * inputs bytes, a row of activations `inputs`;
    // loads step through both in parts that divide them. Stores cover the SIDE
    // outputs of the panel in each row.
    unsafe {
        let weights = dense.weights.as_ptr().add(panel * SIDE * inputs);
        let bytes = bytes.as_ptr().add(row * inputs);
        let corrections = dense.corrections.as_ptr().add(panel * SIDE);
        let start: [__m512i; 4] =
            std::array::from_fn(|v| _mm512_loadu_si512(corrections.add(v * 16).cast()));
        let mut sums = [start; R];
        for quad in 0..inputs / 4 {
            let step = weights.add(quad * SIDE * 4);
            let w: [__m512i; 4] =
                std::array::from_fn(|v| _mm512_loadu_si512(step.add(v * 64).cast()));
            for (r, sum) in sums.iter_mut().enumerate() {
                let four = bytes
                    .add(r * inputs + quad * 4)
                    .cast::<i32>()
                    .read_unaligned();
                let four = _mm512_set1_epi32(four);
                for v in 0..4 {
                    sum[v] = _mm512_dpbusd_epi32(sum[v], four, w[v]);
                }
            }
        }
        for (r, sum) in sums.iter().enumerate() {
            let row_scale = _mm512_set1_ps(scales[row + r]);
            for (v, sum) in sum.iter().enumerate() {
                let output = panel * SIDE + v * 16;
                let scale = _mm512_mul_ps(
                    row_scale,
                    _mm512_loadu_ps(dense.scales.as_ptr().add(output)),
                );
                // Not fused, so that every build rounds alike.
                let product = _mm512_mul_ps(_mm512_cvtepi32_ps(*sum), scale);
                let bias = _mm512_loadu_ps(dense.bias.as_ptr().add(output));
                let to = out.as_mut_ptr().add((row + r) * dense.outputs + output);
                _mm512_storeu_ps(to, _mm512_add_ps(product, bias));
            }
        }
    }
}

/// # Safety
/// The machine has AVX512F, BW and VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn peak_batch() -> u64 {
    let repeats = 100_000u64;
    let mut sums = [_mm512_setzero_si512(); 16];
    let left = _mm512_set1_epi8(std::hint::black_box(3));
    let right = _mm512_set1_epi8(std::hint::black_box(5));
    for _ in 0..repeats {
        for sum in &mut sums {
            *sum = _mm512_dpbusd_epi32(*sum, left, right);
            // SAFETY: an empty assembly block that only pretends to change the
            // sum; keeps sixteen equal sums from being computed once.
            unsafe {
                std::arch::asm!(
                    "/* {0} */",
                    inout(zmm_reg) * sum,
                    options(nomem, nostack, preserves_flags)
                );
            }
        }
    }
    std::hint::black_box(sums);
    repeats * 16 * 64 * 2
}
