//! The inner loops, in three builds chosen at run time: AVX-512 with VNNI,
//! AVX2, and portable code. All of the crate's SIMD `unsafe` lives below here;
//! the functions of this file are safe and check every length they rely on.
//!
//! - `lanes`: a vector of f32 as a trait, and its three implementations.
//! - `generic`: GELU, layer norm, quantisation and attention, written once.
//! - `gemm`: the int8 matrix product, written for each build.

#![expect(
    unsafe_code,
    reason = "SIMD intrinsics on raw pointers; each block says why it is sound"
)]

mod gemm;
mod generic;
mod lanes;
#[cfg(test)]
mod tests;

pub(crate) use gemm::{Activations, PackedDense, multiply, peak_gop_per_s, thread_time};
pub(crate) use generic::{AttentionScratch, HEAD_DIMS};

use lanes::F32x8Portable;
#[cfg(target_arch = "x86_64")]
use lanes::{F32x8, F32x16};

/// A build of the inner loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    Portable,
    Avx2,
    Avx512Vnni,
}

impl Kernel {
    pub const ALL: [Kernel; 3] = [Kernel::Portable, Kernel::Avx2, Kernel::Avx512Vnni];

    /// The fastest build this machine can run.
    #[must_use]
    pub fn detect() -> Kernel {
        [Kernel::Avx512Vnni, Kernel::Avx2]
            .into_iter()
            .find(|k| k.is_supported())
            .unwrap_or(Kernel::Portable)
    }

    #[must_use]
    pub fn is_supported(self) -> bool {
        match self {
            Kernel::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512Vnni => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kernel::Portable => "portable",
            Kernel::Avx2 => "avx2",
            Kernel::Avx512Vnni => "avx512-vnni",
        }
    }

    /// Every entry below may only run code for features the machine has.
    fn check(self) {
        assert!(
            self.is_supported(),
            "bug: kernel {} was chosen on a machine without it",
            self.name()
        );
    }
}

/// Runs `generic::$name` with the vectors of a kernel, inside a function
/// compiled for that kernel's features so that everything inlines into it.
macro_rules! dispatch {
    ($kernel:expr, $name:ident ( $($arg:ident : $ty:ty),* $(,)? )) => {{
        $kernel.check();
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn avx2($($arg: $ty),*) {
            // SAFETY: this function is compiled for the features F32x8 needs.
            unsafe { generic::$name::<F32x8>($($arg),*) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
        fn avx512($($arg: $ty),*) {
            // SAFETY: this function is compiled for the features F32x16 needs.
            unsafe { generic::$name::<F32x16>($($arg),*) }
        }
        match $kernel {
            // SAFETY: `check` above found the features.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512Vnni => unsafe { avx512($($arg),*) },
            // SAFETY: `check` above found the features.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => unsafe { avx2($($arg),*) },
            // SAFETY: portable vectors need no features.
            _ => unsafe { generic::$name::<F32x8Portable>($($arg),*) },
        }
    }};
}

/// GELU with the exact error function, in place. A multiple of 16 values.
pub(crate) fn gelu(kernel: Kernel, values: &mut [f32]) {
    assert!(values.len().is_multiple_of(16), "bug: ragged GELU");
    dispatch!(kernel, gelu(values: &mut [f32]));
}

/// `x = layer_norm(x + y)` for each row of `weight.len()` values.
pub(crate) fn add_norm(
    kernel: Kernel,
    x: &mut [f32],
    y: &[f32],
    weight: &[f32],
    bias: &[f32],
    epsilon: f32,
) {
    let width = weight.len();
    assert!(
        width.is_multiple_of(16) && bias.len() == width,
        "bug: ragged norm"
    );
    assert!(
        x.len() == y.len() && x.len().is_multiple_of(width),
        "bug: ragged rows"
    );
    dispatch!(kernel, add_norm(
        x: &mut [f32],
        y: &[f32],
        weight: &[f32],
        bias: &[f32],
        epsilon: f32,
    ));
}

/// Quantises rows of `columns` values, each with its own scale.
pub(crate) fn quantize(kernel: Kernel, values: &[f32], columns: usize, out: &mut Activations) {
    assert!(
        columns.is_multiple_of(16) && values.len().is_multiple_of(columns),
        "bug: ragged rows"
    );
    out.resize(kernel, values.len() / columns, columns);
    dispatch!(kernel, quantize(values: &[f32], out: &mut Activations));
}

/// Self-attention of one sequence. `qkv` holds `heads * HEAD_DIMS` queries,
/// then keys, then values per token; queries come scaled. `out` takes the
/// context of each token.
pub(crate) fn attention(
    kernel: Kernel,
    qkv: &[f32],
    heads: usize,
    scratch: &mut AttentionScratch,
    out: &mut [f32],
) {
    let width = heads * HEAD_DIMS;
    assert!(
        heads > 0 && out.len().is_multiple_of(width) && qkv.len() == out.len() * 3,
        "bug: ragged attention"
    );
    scratch.resize(out.len() / width);
    dispatch!(kernel, attention(
        qkv: &[f32],
        heads: usize,
        scratch: &mut AttentionScratch,
        out: &mut [f32],
    ));
}
