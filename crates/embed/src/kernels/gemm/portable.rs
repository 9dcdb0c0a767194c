//! The product in plain Rust: the fallback and the yardstick of the others.

use super::PackedDense;

pub(super) fn multiply(words: &[i16], scales: &[f32], dense: &PackedDense, out: &mut [f32]) {
    let (inputs, outputs) = (dense.inputs, dense.outputs);
    let mut wide = vec![0i16; inputs];
    for (output, weights) in dense.weights.chunks_exact(inputs).enumerate() {
        // Widened once for all rows; 16-bit pairs are what baseline SIMD multiplies.
        for (wide, weight) in wide.iter_mut().zip(weights) {
            *wide = i16::from(*weight);
        }
        let rows = words.chunks_exact(inputs).zip(scales);
        for ((row, scale), out) in rows.zip(out.chunks_exact_mut(outputs)) {
            out[output] =
                dot(row, &wide) as f32 * (scale * dense.scales[output]) + dense.bias[output];
        }
    }
}

/// Inputs are whole chunks: dense layers have a multiple of 32.
fn dot(row: &[i16], weights: &[i16]) -> i32 {
    let mut sums = [0i32; 8];
    let (row, weights) = (row.as_chunks::<8>().0, weights.as_chunks::<8>().0);
    for (row, weights) in row.iter().zip(weights) {
        for lane in 0..8 {
            // Wrapping only so that checked builds vectorise too: 1,536 products
            // of bytes stay far below 2^31.
            let product = i32::from(row[lane]) * i32::from(weights[lane]);
            sums[lane] = sums[lane].wrapping_add(product);
        }
    }
    sums.iter().sum()
}

/// A dot product that stays in the first-level cache.
pub(super) fn peak_batch() -> u64 {
    let row = [3i16; 384];
    let weights = [5i16; 384];
    let mut total = 0i32;
    let repeats = 4_000;
    for _ in 0..repeats {
        total = total.wrapping_add(dot(
            std::hint::black_box(&row),
            std::hint::black_box(&weights),
        ));
    }
    std::hint::black_box(total);
    repeats * 384 * 2
}
