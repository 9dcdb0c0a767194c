//! Loops over f32, written once for every width of vector.
//!
//! # Safety
//! Each function may only be called from a function compiled for the features
//! of `L`. Lengths are checked by the safe callers in the parent module.

use super::gemm::{Activations, Elements};
use super::lanes::Lanes;

/// Dimensions of one attention head of e5-small.
pub(crate) const HEAD_DIMS: usize = 32;

/// Queries worked on at once: with two vectors of keys that makes eight sums,
/// enough to hide the latency of a fused multiply-add on two ports.
const QUERIES: usize = 4;

/// e^x. Cephes' split into a power of two and a polynomial on ±ln2/2; relative
/// error below 2e-7. Clamped to where the result is a normal number.
#[inline(always)]
pub(super) unsafe fn exp<L: Lanes>(x: L) -> L {
    // SAFETY: the caller grants the features of `L`.
    unsafe {
        let c = |v: f32| L::splat(v);
        // min(x, 88) written with max, the only comparison `Lanes` has.
        let x = c(0.0).sub(c(0.0).sub(x).max(c(-88.0)));
        let x = x.max(c(-87.0));
        let n = x.mul(c(std::f32::consts::LOG2_E)).round();
        // ln 2 in two parts, so that n * ln2 loses no bits.
        let r = n.mul_add(c(-0.693_359_4), x);
        let r = n.mul_add(c(2.121_944_4e-4), r);
        let p = c(1.987_569_1e-4);
        let p = p.mul_add(r, c(1.398_199_9e-3));
        let p = p.mul_add(r, c(8.333_452e-3));
        let p = p.mul_add(r, c(4.166_579_6e-2));
        let p = p.mul_add(r, c(1.666_666_5e-1));
        let p = p.mul_add(r, c(0.5));
        let y = p.mul_add(r.mul(r), r).add(c(1.0));
        y.mul(n.pow2())
    }
}

/// The error function by Abramowitz and Stegun 7.1.26: absolute error below 1.5e-7
/// in exact arithmetic, 5e-7 in f32 (tested).
#[inline(always)]
pub(super) unsafe fn erf<L: Lanes>(x: L) -> L {
    // SAFETY: the caller grants the features of `L`.
    unsafe {
        let c = |v: f32| L::splat(v);
        let a = x.abs();
        let t = c(1.0).div(a.mul_add(c(0.327_591_1), c(1.0)));
        let p = c(1.061_405_4);
        let p = p.mul_add(t, c(-1.453_152));
        let p = p.mul_add(t, c(1.421_413_8));
        let p = p.mul_add(t, c(-0.284_496_74));
        let p = p.mul_add(t, c(0.254_829_6));
        let tail = p.mul(t).mul(exp(c(0.0).sub(a.mul(a))));
        c(1.0).sub(tail).copy_sign(x)
    }
}

#[inline(always)]
pub(super) unsafe fn gelu<L: Lanes>(values: &mut [f32]) {
    // SAFETY: the caller grants the features; the length is a multiple of 16,
    // so every access of WIDTH values stays inside.
    unsafe {
        let data = values.as_mut_ptr();
        for at in (0..values.len()).step_by(L::WIDTH) {
            let x = L::load(data.add(at));
            let e = erf(x.mul(L::splat(std::f32::consts::FRAC_1_SQRT_2)));
            let half = x.mul(L::splat(0.5));
            half.mul_add(e, half).store(data.add(at));
        }
    }
}

#[inline(always)]
pub(super) unsafe fn add_norm<L: Lanes>(
    x: &mut [f32],
    y: &[f32],
    weight: &[f32],
    bias: &[f32],
    epsilon: f32,
) {
    let width = weight.len();
    for (x, y) in x.chunks_exact_mut(width).zip(y.chunks_exact(width)) {
        let (x, y) = (x.as_mut_ptr(), y.as_ptr());
        // SAFETY: the caller grants the features; all four have `width` values,
        // a multiple of 16.
        unsafe {
            let mut total = L::splat(0.0);
            for at in (0..width).step_by(L::WIDTH) {
                let sum = L::load(x.add(at)).add(L::load(y.add(at)));
                sum.store(x.add(at));
                total = total.add(sum);
            }
            let mean = L::splat(total.sum() / width as f32);
            let mut squares = L::splat(0.0);
            for at in (0..width).step_by(L::WIDTH) {
                let centred = L::load(x.add(at)).sub(mean);
                squares = centred.mul_add(centred, squares);
            }
            let scale = L::splat(1.0 / (squares.sum() / width as f32 + epsilon).sqrt());
            for at in (0..width).step_by(L::WIDTH) {
                let centred = L::load(x.add(at)).sub(mean).mul(scale);
                let weight = L::load(weight.as_ptr().add(at));
                let bias = L::load(bias.as_ptr().add(at));
                centred.mul_add(weight, bias).store(x.add(at));
            }
        }
    }
}

#[inline(always)]
pub(super) unsafe fn quantize<L: Lanes>(values: &[f32], out: &mut Activations) {
    let columns = out.columns;
    for (row, values) in values.chunks_exact(columns).enumerate() {
        let data = values.as_ptr();
        // SAFETY: the caller grants the features; rows have `columns` values, a
        // multiple of 16, and `out` was sized for as many.
        unsafe {
            let mut largest = L::splat(0.0);
            for at in (0..columns).step_by(L::WIDTH) {
                largest = largest.max(L::load(data.add(at)).abs());
            }
            let largest = largest.largest();
            out.scales[row] = largest / 127.0;
            let inverse = L::splat(if largest > 0.0 { 127.0 / largest } else { 0.0 });
            match &mut out.elements {
                Elements::Words(words) => {
                    let to = words.as_mut_ptr().add(row * columns);
                    for at in (0..columns).step_by(L::WIDTH) {
                        L::load(data.add(at)).mul(inverse).store_i16(to.add(at));
                    }
                }
                Elements::Bytes(bytes) => {
                    let to = bytes.as_mut_ptr().add(row * columns);
                    for at in (0..columns).step_by(L::WIDTH) {
                        L::load(data.add(at)).mul(inverse).store_u8(to.add(at));
                    }
                }
            }
        }
    }
}

/// Buffers of one attention head, reused.
#[derive(Debug, Default)]
pub(crate) struct AttentionScratch {
    /// Tokens, and tokens rounded up to two of the widest vectors.
    tokens: usize,
    padded: usize,
    /// Keys by dimension, then token: one load takes the same dimension of many keys.
    keys: Vec<f32>,
    values: Vec<f32>,
    scores: Vec<f32>,
}

impl AttentionScratch {
    pub(super) fn resize(&mut self, tokens: usize) {
        self.tokens = tokens;
        self.padded = tokens.next_multiple_of(32);
        // Padding keys must be finite; what they hold is masked later.
        self.keys.clear();
        self.keys.resize(HEAD_DIMS * self.padded, 0.0);
        self.values
            .resize(self.values.len().max(HEAD_DIMS * tokens), 0.0);
        self.scores
            .resize(self.scores.len().max(QUERIES * self.padded), 0.0);
    }
}

#[inline(always)]
pub(super) unsafe fn attention<L: Lanes>(
    qkv: &[f32],
    heads: usize,
    scratch: &mut AttentionScratch,
    out: &mut [f32],
) {
    let width = heads * HEAD_DIMS;
    let tokens = scratch.tokens;
    for head in 0..heads {
        let at = head * HEAD_DIMS;
        for (token, row) in qkv.chunks_exact(3 * width).enumerate() {
            for (d, key) in row[width + at..][..HEAD_DIMS].iter().enumerate() {
                scratch.keys[d * scratch.padded + token] = *key;
            }
            scratch.values[token * HEAD_DIMS..][..HEAD_DIMS]
                .copy_from_slice(&row[2 * width + at..][..HEAD_DIMS]);
        }
        let mut first = 0;
        while first < tokens {
            let queries = &qkv[first * 3 * width + at..];
            let contexts = &mut out[first * width + at..];
            let count = QUERIES.min(tokens - first);
            // SAFETY: the caller grants the features; `count` query rows of
            // stride 3 * width and context rows of stride width start here.
            unsafe {
                match count {
                    4 => attend::<L, 4>(queries, contexts, width, scratch),
                    3 => attend::<L, 3>(queries, contexts, width, scratch),
                    2 => attend::<L, 2>(queries, contexts, width, scratch),
                    _ => attend::<L, 1>(queries, contexts, width, scratch),
                }
            }
            first += count;
        }
    }
}

/// Scores, softmax and weighted values of `R` neighbouring queries.
#[inline(always)]
unsafe fn attend<L: Lanes, const R: usize>(
    queries: &[f32],
    contexts: &mut [f32],
    width: usize,
    scratch: &mut AttentionScratch,
) {
    let (tokens, padded) = (scratch.tokens, scratch.padded);
    assert!(queries.len() >= (R - 1) * 3 * width + HEAD_DIMS);
    assert!(contexts.len() >= (R - 1) * width + HEAD_DIMS);
    assert!(scratch.keys.len() >= HEAD_DIMS * padded && scratch.values.len() >= HEAD_DIMS * tokens);
    assert!(scratch.scores.len() >= R * padded && padded.is_multiple_of(2 * L::WIDTH));
    let keys = scratch.keys.as_ptr();
    let values = scratch.values.as_ptr();
    let scores = scratch.scores.as_mut_ptr();
    // SAFETY: the caller grants the features; the asserts above bound every
    // pointer: keys to HEAD_DIMS * padded, scores to R * padded, values to
    // HEAD_DIMS * tokens, queries and contexts to their last row's head.
    unsafe {
        for column in (0..padded).step_by(2 * L::WIDTH) {
            let mut sums = [[L::splat(0.0); 2]; R];
            for d in 0..HEAD_DIMS {
                let key = keys.add(d * padded + column);
                let (left, right) = (L::load(key), L::load(key.add(L::WIDTH)));
                for (r, sum) in sums.iter_mut().enumerate() {
                    let query = L::splat(*queries.as_ptr().add(r * 3 * width + d));
                    sum[0] = query.mul_add(left, sum[0]);
                    sum[1] = query.mul_add(right, sum[1]);
                }
            }
            for (r, sum) in sums.iter().enumerate() {
                let score = scores.add(r * padded + column);
                sum[0].store(score);
                sum[1].store(score.add(L::WIDTH));
            }
        }
        let mut inverse = [0f32; R];
        for (r, inverse) in inverse.iter_mut().enumerate() {
            let row = scores.add(r * padded);
            for masked in tokens..padded {
                *row.add(masked) = -1e30;
            }
            let mut largest = L::splat(-1e30);
            for at in (0..padded).step_by(L::WIDTH) {
                largest = largest.max(L::load(row.add(at)));
            }
            let largest = L::splat(largest.largest());
            let mut total = L::splat(0.0);
            for at in (0..padded).step_by(L::WIDTH) {
                let weight = exp(L::load(row.add(at)).sub(largest));
                weight.store(row.add(at));
                total = total.add(weight);
            }
            *inverse = 1.0 / total.sum();
        }
        for column in (0..HEAD_DIMS).step_by(2 * L::WIDTH) {
            let mut sums = [[L::splat(0.0); 2]; R];
            for token in 0..tokens {
                let value = values.add(token * HEAD_DIMS + column);
                let (left, right) = (L::load(value), L::load(value.add(L::WIDTH)));
                for (r, sum) in sums.iter_mut().enumerate() {
                    let weight = L::splat(*scores.add(r * padded + token));
                    sum[0] = weight.mul_add(left, sum[0]);
                    sum[1] = weight.mul_add(right, sum[1]);
                }
            }
            for (r, sum) in sums.iter().enumerate() {
                let scale = L::splat(inverse[r]);
                let context = contexts.as_mut_ptr().add(r * width + column);
                sum[0].mul(scale).store(context);
                sum[1].mul(scale).store(context.add(L::WIDTH));
            }
        }
    }
}
