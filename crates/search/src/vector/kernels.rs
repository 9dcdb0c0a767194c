//! The two inner loops of the vector scan, compiled for the instructions that
//! the machine has. The loops are plain Rust; only calling the versions built
//! with more instructions needs `unsafe`.
#![expect(
    unsafe_code,
    reason = "functions built for detected CPU features are unsafe to call from others"
)]

/// Parallel sums of a dot product: enough for the compiler to fill two AVX2
/// registers. Fixed, so that every machine adds in the same order and ranks alike.
const LANES: usize = 16;

/// Hamming distance of `query` to each row of `codes`, rows as long as the query.
pub(super) fn hamming(query: &[u64], codes: &[u64], distances: &mut Vec<u16>) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("popcnt") {
        // SAFETY: the function needs popcnt, which the line above detected.
        unsafe { hamming_x86(query, codes, distances) };
        return;
    }
    hamming_portable(query, codes, distances);
}

/// Dot product of an f32 vector with int8 codes.
pub(super) fn dot(query: &[f32], codes: &[i8]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the function needs AVX2, which the line above detected.
        return unsafe { dot_x86(query, codes) };
    }
    dot_portable(query, codes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "popcnt")]
fn hamming_x86(query: &[u64], codes: &[u64], distances: &mut Vec<u16>) {
    hamming_portable(query, codes, distances);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn dot_x86(query: &[f32], codes: &[i8]) -> f32 {
    dot_portable(query, codes)
}

// Plain loops: a closure given to `extend` would be compiled apart, without
// the instructions (measured: software popcounts, three times as slow).
#[inline(always)]
fn hamming_portable(query: &[u64], codes: &[u64], distances: &mut Vec<u16>) {
    distances.clear();
    distances.resize(codes.len() / query.len(), 0);
    // 384 dimensions, the default model's, with a length the compiler knows.
    if let Ok(query) = <&[u64; 6]>::try_from(query) {
        let (rows, _) = codes.as_chunks::<6>();
        for (distance, row) in distances.iter_mut().zip(rows) {
            let mut bits = 0;
            for (a, b) in query.iter().zip(row) {
                bits += (a ^ b).count_ones();
            }
            *distance = bits as u16;
        }
        return;
    }
    for (distance, row) in distances.iter_mut().zip(codes.chunks_exact(query.len())) {
        let mut bits = 0;
        for (a, b) in query.iter().zip(row) {
            bits += (a ^ b).count_ones();
        }
        *distance = bits as u16;
    }
}

#[inline(always)]
fn dot_portable(query: &[f32], codes: &[i8]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (query_blocks, query_rest) = query.as_chunks::<LANES>();
    let (code_blocks, code_rest) = codes.as_chunks::<LANES>();
    for (q, c) in query_blocks.iter().zip(code_blocks) {
        for ((sum, q), c) in sums.iter_mut().zip(q).zip(c) {
            *sum += q * f32::from(*c);
        }
    }
    let rest: f32 = query_rest
        .iter()
        .zip(code_rest)
        .map(|(q, c)| q * f32::from(*c))
        .sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_kernels_equal_the_portable_ones() {
        let mut state = 1u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state >> 11
        };
        for dims in [1usize, 15, 16, 17, 64, 384, 1000] {
            let query: Vec<f32> = (0..dims)
                .map(|_| (next() % 2000) as f32 / 1000.0 - 1.0)
                .collect();
            let codes: Vec<i8> = (0..dims).map(|_| (next() % 255) as i8).collect();
            assert_eq!(
                dot(&query, &codes),
                dot_portable(&query, &codes),
                "{dims} dims"
            );
            let words = dims.div_ceil(64);
            let bits: Vec<u64> = (0..words).map(|_| next() ^ (next() << 30)).collect();
            let rows: Vec<u64> = (0..words * 9).map(|_| next() ^ (next() << 30)).collect();
            let (mut chosen, mut portable) = (Vec::new(), Vec::new());
            hamming(&bits, &rows, &mut chosen);
            hamming_portable(&bits, &rows, &mut portable);
            assert_eq!(chosen, portable, "{dims} dims");
            assert_eq!(chosen.len(), 9);
        }
    }
}
