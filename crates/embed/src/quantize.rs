//! Vectors as the store keeps them: int8 with one scale.

/// Quantises a vector symmetrically: `v[i]` is about `q[i] * scale`, off by at
/// most half a scale. A zero vector gets scale 0.
#[must_use]
pub fn quantize(vector: &[f32]) -> (Vec<i8>, f32) {
    let largest = vector.iter().fold(0f32, |m, x| m.max(x.abs()));
    if largest == 0.0 || !largest.is_finite() {
        return (vec![0; vector.len()], 0.0);
    }
    let inverse = 127.0 / largest;
    let values = vector
        .iter()
        .map(|x| (x * inverse).round_ties_even() as i8)
        .collect();
    (values, largest / 127.0)
}

#[must_use]
pub fn dequantize(values: &[i8], scale: f32) -> Vec<f32> {
    values.iter().map(|q| f32::from(*q) * scale).collect()
}

/// Scales to length 1. Returns false, and leaves the vector, when it has no
/// direction (all zero, or not numbers).
pub(crate) fn normalize(vector: &mut [f32]) -> bool {
    let square: f64 = vector.iter().map(|x| f64::from(*x).powi(2)).sum();
    if square <= 0.0 || !square.is_finite() {
        return false;
    }
    let inverse = 1.0 / square.sqrt();
    for x in vector {
        *x = (f64::from(*x) * inverse) as f32;
    }
    true
}
