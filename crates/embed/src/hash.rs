//! Deterministic vectors without a model, for tests of whatever needs vectors.
//! Texts that share words get similar vectors; nothing about meaning is known.

use crate::quantize::normalize;

pub(crate) fn embed(text: &str, dims: usize) -> Vec<f32> {
    let mut vector = vec![0f32; dims];
    let words = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty());
    for word in words {
        let digest = blake3::hash(word.to_lowercase().as_bytes());
        // Four signed counts per word make collisions of two words partial.
        for part in digest.as_bytes().as_chunks::<8>().0 {
            let number = u64::from_le_bytes(*part);
            let sign = if number >> 63 == 0 { 1.0 } else { -1.0 };
            vector[(number % dims as u64) as usize] += sign;
        }
    }
    if !normalize(&mut vector) {
        vector[0] = 1.0;
    }
    vector
}
