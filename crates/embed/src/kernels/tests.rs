//! Every build against plain arithmetic, and the int8 products against each
//! other bit for bit.

use super::gemm::Elements;
use super::*;

fn supported() -> impl Iterator<Item = Kernel> {
    Kernel::ALL.into_iter().filter(|k| k.is_supported())
}

fn pseudo_random(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

fn product(kernel: Kernel, rows: usize, outputs: usize, inputs: usize) -> Vec<f32> {
    let mut next = pseudo_random((rows * outputs * inputs) as u64);
    let bias = (0..outputs).map(|_| next()).collect();
    let dense = PackedDense::pack(kernel, outputs, inputs, bias, |row, out| {
        // Every few rows hold only extremes: the largest sums there are.
        out.iter_mut().for_each(|x| {
            let value = next();
            *x = if row.is_multiple_of(5) {
                value.signum()
            } else {
                value
            };
        });
    });
    let values: Vec<f32> = (0..rows * inputs)
        .map(|i| {
            let value = next() * 3.0;
            if (i / inputs).is_multiple_of(3) {
                value.signum()
            } else {
                value
            }
        })
        .collect();
    let mut activations = Activations::default();
    quantize(kernel, &values, inputs, &mut activations);
    let mut out = vec![f32::NAN; rows * outputs];
    multiply(&activations, &dense, &mut out);
    out
}

#[test]
fn products_are_equal_in_every_build() {
    for (rows, outputs, inputs) in [
        (1, 64, 32),
        (2, 64, 64),
        (3, 128, 384),
        (4, 64, 1536),
        (5, 192, 96),
        (6, 64, 384),
        (7, 64, 384),
        (13, 1152, 384),
        (97, 64, 32),
    ] {
        let expected = product(Kernel::Portable, rows, outputs, inputs);
        assert!(expected.iter().all(|x| x.is_finite()));
        for kernel in supported() {
            let got = product(kernel, rows, outputs, inputs);
            assert!(got == expected, "{kernel:?} {rows} {outputs} {inputs}");
        }
    }
}

#[test]
fn products_are_near_the_unquantised() {
    let (rows, outputs, inputs) = (4, 64, 384);
    let mut next = pseudo_random(9);
    let weights: Vec<f32> = (0..outputs * inputs).map(|_| next()).collect();
    let values: Vec<f32> = (0..rows * inputs).map(|_| next()).collect();
    for kernel in supported() {
        let dense = PackedDense::pack(kernel, outputs, inputs, vec![0.5; outputs], |row, out| {
            out.copy_from_slice(&weights[row * inputs..][..inputs]);
        });
        let mut activations = Activations::default();
        quantize(kernel, &values, inputs, &mut activations);
        let mut out = vec![0.0; rows * outputs];
        multiply(&activations, &dense, &mut out);
        for (i, got) in out.iter().enumerate() {
            let row = &values[i / outputs * inputs..][..inputs];
            let column = &weights[i % outputs * inputs..][..inputs];
            let exact: f32 = row.iter().zip(column).map(|(a, b)| a * b).sum::<f32>() + 0.5;
            // 384 products, each off by at most about 1/127.
            assert!((got - exact).abs() < 0.4, "{kernel:?} {i}: {got} {exact}");
        }
    }
}

#[test]
fn quantised_rows() {
    let mut values = vec![0f32; 64];
    values[..5].copy_from_slice(&[1.0, -2.0, 0.5, 2.0 * 0.5 / 127.0, 2.0 * 1.5 / 127.0]);
    for kernel in supported() {
        let mut activations = Activations::default();
        quantize(kernel, &values, 32, &mut activations);
        assert_eq!(activations.scales, [2.0 / 127.0, 0.0], "{kernel:?}");
        let got: Vec<i32> = match &activations.elements {
            Elements::Words(words) => words.iter().map(|w| i32::from(*w)).collect(),
            Elements::Bytes(bytes) => bytes.iter().map(|b| i32::from(*b) - 128).collect(),
        };
        // Halves go to the even side.
        assert_eq!(got[..5], [64, -127, 32, 0, 2], "{kernel:?}");
        assert!(got[5..].iter().all(|x| *x == 0), "{kernel:?}");
    }
}

#[test]
fn gelu_is_near_the_exact() {
    let points: Vec<f32> = (-800..800).map(|i| i as f32 / 100.0).collect();
    for kernel in supported() {
        let mut values = points.clone();
        gelu(kernel, &mut values);
        for (x, got) in points.iter().zip(values) {
            let x = f64::from(*x);
            let half = x * std::f64::consts::FRAC_1_SQRT_2;
            let exact = 0.5 * x * (1.0 + crate::reference::erf(half));
            let error = (f64::from(got) - exact).abs();
            assert!(error < 1e-6 * (1.0 + x.abs()), "{kernel:?} {x}: {error:e}");
        }
        let mut extremes = vec![0f32; 16];
        extremes[..4].copy_from_slice(&[-1e4, 1e4, -0.0, 60.0]);
        gelu(kernel, &mut extremes);
        assert_eq!(extremes[..4], [0.0, 1e4, 0.0, 60.0], "{kernel:?}");
    }
}

/// Error bounds of the two approximations by themselves.
fn functions<L: lanes::Lanes>() -> (f64, f64) {
    let (mut exp_error, mut erf_error) = (0f64, 0f64);
    for i in -8000..=8000 {
        let mut out = [0f32; 16];
        let x = i as f32 / 100.0;
        // SAFETY: only called with portable vectors; `out` holds sixteen values.
        unsafe { generic::exp(L::splat(x)).store(out.as_mut_ptr()) };
        let exact = f64::from(x).exp();
        exp_error = exp_error.max((f64::from(out[0]) - exact).abs() / exact);
        let x = x / 16.0;
        // SAFETY: as above.
        unsafe { generic::erf(L::splat(x)).store(out.as_mut_ptr()) };
        let exact = crate::reference::erf(f64::from(x));
        erf_error = erf_error.max((f64::from(out[0]) - exact).abs());
    }
    (exp_error, erf_error)
}

#[test]
fn exp_and_erf_keep_their_bounds() {
    let (exp_error, erf_error) = functions::<F32x8Portable>();
    assert!(exp_error < 5e-7, "{exp_error:e}");
    assert!(erf_error < 5e-7, "{erf_error:e}");
}

#[test]
fn norm_is_near_the_exact() {
    let width = 384;
    let mut next = pseudo_random(5);
    let mut take = |n: usize| (0..n).map(|_| next()).collect::<Vec<f32>>();
    let (x, y, weight, bias) = (take(3 * width), take(3 * width), take(width), take(width));
    for kernel in supported() {
        let mut got = x.clone();
        add_norm(kernel, &mut got, &y, &weight, &bias, 1e-12);
        for row in 0..3 {
            let sum: Vec<f64> = (row * width..(row + 1) * width)
                .map(|i| f64::from(x[i]) + f64::from(y[i]))
                .collect();
            let mean = sum.iter().sum::<f64>() / width as f64;
            let variance = sum.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / width as f64;
            for (i, s) in sum.iter().enumerate() {
                let exact =
                    (s - mean) / variance.sqrt() * f64::from(weight[i]) + f64::from(bias[i]);
                let got = f64::from(got[row * width + i]);
                assert!(
                    (got - exact).abs() < 1e-5,
                    "{kernel:?} {row} {i}: {got} {exact}"
                );
            }
        }
    }
}

#[test]
fn attention_is_near_the_exact() {
    let heads = 2;
    let width = heads * HEAD_DIMS;
    for tokens in [1, 2, 3, 4, 5, 16, 31, 32, 33, 70] {
        let mut next = pseudo_random(tokens as u64);
        let qkv: Vec<f32> = (0..tokens * width * 3).map(|_| next()).collect();
        let exact = plain_attention(&qkv, heads, tokens);
        for kernel in supported() {
            // A longer sequence first: what it leaves behind must not matter.
            let mut scratch = AttentionScratch::default();
            let longer = vec![1f32; 100 * width * 3];
            attention(
                kernel,
                &longer,
                heads,
                &mut scratch,
                &mut vec![0.0; 100 * width],
            );
            let mut got = vec![f32::NAN; tokens * width];
            attention(kernel, &qkv, heads, &mut scratch, &mut got);
            for (i, (got, exact)) in got.iter().zip(&exact).enumerate() {
                let error = (f64::from(*got) - exact).abs();
                assert!(error < 1e-5, "{kernel:?} {tokens} tokens, {i}: {error:e}");
            }
        }
    }
}

fn plain_attention(qkv: &[f32], heads: usize, tokens: usize) -> Vec<f64> {
    let width = heads * HEAD_DIMS;
    let at = |token: usize, part: usize, head: usize, d: usize| {
        f64::from(qkv[token * 3 * width + part * width + head * HEAD_DIMS + d])
    };
    let mut out = vec![0f64; tokens * width];
    for head in 0..heads {
        for token in 0..tokens {
            let weights: Vec<f64> = (0..tokens)
                .map(|other| {
                    let score: f64 = (0..HEAD_DIMS)
                        .map(|d| at(token, 0, head, d) * at(other, 1, head, d))
                        .sum();
                    score.exp()
                })
                .collect();
            let total: f64 = weights.iter().sum();
            for d in 0..HEAD_DIMS {
                out[token * width + head * HEAD_DIMS + d] = weights
                    .iter()
                    .enumerate()
                    .map(|(other, w)| w / total * at(other, 2, head, d))
                    .sum();
            }
        }
    }
    out
}
