//! The product in plain Rust: the fallback and the yardstick of the others.

use super::PackedDense;

pub(super) fn multiply(words: &[i16], scales: &[f32], dense: &PackedDense, out: &mut [f32]) {
    let rows = words
        .chunks_exact(dense.inputs)
        .zip(scales)
        .zip(out.chunks_exact_mut(dense.outputs));
    for ((row, scale), out) in rows {
        let weights = dense.weights.chunks_exact(dense.inputs);
        for (output, (weights, out)) in weights.zip(out).enumerate() {
            *out = dot(row, weights) as f32 * (scale * dense.scales[output]) + dense.bias[output];
        }
    }
}

fn dot(row: &[i16], weights: &[i8]) -> i32 {
    row.iter()
        .zip(weights)
        .map(|(a, w)| i32::from(*a) * i32::from(*w))
        .sum()
}

/// A dot product that stays in the first-level cache.
pub(super) fn peak_batch() -> u64 {
    let row = [3i16; 384];
    let weights = [5i8; 384];
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
