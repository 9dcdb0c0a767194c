//! The int8 matrix product: activations times weights, both with a scale per
//! row, exact in between.
//!
//! Every build computes the same 32-bit dot products and applies the same
//! float operations after them, so results are equal bit for bit.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod portable;
#[cfg(target_arch = "x86_64")]
mod vnni;

use std::time::{Duration, Instant};

use super::Kernel;

/// Quantised rows of activations.
#[derive(Debug, Default)]
pub(crate) struct Activations {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) elements: Elements,
    pub(super) scales: Vec<f32>,
}

/// VNNI multiplies unsigned by signed bytes: 128 is added to each activation.
/// The others multiply 16-bit pairs, whose sums cannot saturate as those of
/// byte pairs in AVX2 do.
#[derive(Debug)]
pub(super) enum Elements {
    Words(Vec<i16>),
    Bytes(Vec<u8>),
}

impl Default for Elements {
    fn default() -> Elements {
        Elements::Words(Vec::new())
    }
}

impl Activations {
    pub(super) fn resize(&mut self, kernel: Kernel, rows: usize, columns: usize) {
        (self.rows, self.columns) = (rows, columns);
        self.scales.resize(rows, 0.0);
        let count = rows * columns;
        match (kernel, &mut self.elements) {
            (Kernel::Avx512Vnni, Elements::Bytes(bytes)) => bytes.resize(count, 0),
            (Kernel::Avx512Vnni, other) => *other = Elements::Bytes(vec![0; count]),
            (_, Elements::Words(words)) => words.resize(count, 0),
            (_, other) => *other = Elements::Words(vec![0; count]),
        }
    }
}

/// Weights of a dense layer as int8, in the order its kernel reads them.
#[derive(Debug)]
pub(crate) struct PackedDense {
    kernel: Kernel,
    outputs: usize,
    inputs: usize,
    weights: Vec<i8>,
    /// Of each output row.
    scales: Vec<f32>,
    bias: Vec<f32>,
    /// What 128 added to every activation adds to each output, negated.
    corrections: Vec<i32>,
}

impl PackedDense {
    /// Packs a layer given row by row. `fill(row, out)` writes the weights of
    /// one output; every row count a multiple of 64, inputs of 32.
    pub(crate) fn pack(
        kernel: Kernel,
        outputs: usize,
        inputs: usize,
        bias: Vec<f32>,
        mut fill: impl FnMut(usize, &mut [f32]),
    ) -> PackedDense {
        assert!(
            outputs.is_multiple_of(64) && inputs.is_multiple_of(32) && bias.len() == outputs,
            "bug: ragged dense layer"
        );
        let mut packed = PackedDense {
            kernel,
            outputs,
            inputs,
            weights: vec![0; outputs * inputs],
            scales: Vec::with_capacity(outputs),
            bias,
            corrections: Vec::with_capacity(outputs),
        };
        let mut floats = vec![0f32; inputs];
        let mut row = vec![0i8; inputs];
        for output in 0..outputs {
            fill(output, &mut floats);
            let largest = floats.iter().fold(0f32, |m, x| m.max(x.abs()));
            let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
            for (q, x) in row.iter_mut().zip(&floats) {
                // Rounding by an added constant vectorises on every target.
                *q = ((x * inverse + 12_582_912.0) - 12_582_912.0) as i8;
            }
            packed.scales.push(largest / 127.0);
            let sum: i32 = row.iter().map(|q| i32::from(*q)).sum();
            packed.corrections.push(-128 * sum);
            packed.place(output, &row);
        }
        packed
    }

    /// Outputs side by side in one panel, and inputs they consume per step.
    fn panel(kernel: Kernel) -> (usize, usize) {
        match kernel {
            Kernel::Portable => (1, 1),
            Kernel::Avx2 => (16, 2),
            Kernel::Avx512Vnni => (64, 4),
        }
    }

    fn place(&mut self, output: usize, row: &[i8]) {
        let (side, step) = PackedDense::panel(self.kernel);
        let start = output / side * side * self.inputs + output % side * step;
        for (k, part) in row.chunks_exact(step).enumerate() {
            let at = start + k * side * step;
            self.weights[at..at + step].copy_from_slice(part);
        }
    }

    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Multiply-adds per row of activations.
    pub(crate) fn products(&self) -> usize {
        self.outputs * self.inputs
    }
}

/// `out[row] = activations[row] * weights + bias`, rows of `dense.outputs()`.
pub(crate) fn multiply(activations: &Activations, dense: &PackedDense, out: &mut [f32]) {
    dense.kernel.check();
    assert_eq!(activations.columns, dense.inputs, "bug: another width");
    assert_eq!(
        out.len(),
        activations.rows * dense.outputs,
        "bug: another number of rows"
    );
    assert!(
        activations.scales.len() >= activations.rows
            && dense.weights.len() == dense.products()
            && dense.scales.len() == dense.outputs
            && dense.corrections.len() == dense.outputs
    );
    match (&activations.elements, dense.kernel) {
        (Elements::Words(words), Kernel::Portable) => {
            portable::multiply(words, &activations.scales, dense, out);
        }
        #[cfg(target_arch = "x86_64")]
        (Elements::Words(words), Kernel::Avx2) => {
            assert!(words.len() >= activations.rows * activations.columns);
            // SAFETY: `check` found AVX2; the lengths were checked above.
            unsafe { avx2::multiply(words, &activations.scales, dense, out) };
        }
        #[cfg(target_arch = "x86_64")]
        (Elements::Bytes(bytes), Kernel::Avx512Vnni) => {
            assert!(bytes.len() >= activations.rows * activations.columns);
            // SAFETY: `check` found AVX512 VNNI; the lengths were checked above.
            unsafe { vnni::multiply(bytes, &activations.scales, dense, out) };
        }
        _ => unreachable!("bug: activations were quantised for another kernel"),
    }
}

/// What the arithmetic of a kernel's product reaches on registers alone, in
/// 10^9 multiplications and additions a second.
pub(crate) fn peak_gop_per_s(kernel: Kernel, duration: Duration) -> f64 {
    kernel.check();
    let started = Instant::now();
    let mut operations = 0u64;
    let mut best = 0f64;
    while started.elapsed() < duration {
        let before = thread_time();
        let batch: u64 = match kernel {
            Kernel::Portable => portable::peak_batch(),
            // SAFETY: `check` found the features.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => unsafe { avx2::peak_batch() },
            // SAFETY: `check` found the features.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512Vnni => unsafe { vnni::peak_batch() },
            #[cfg(not(target_arch = "x86_64"))]
            _ => 0,
        };
        operations += batch;
        // The best batch: others may share the core.
        let spent = thread_time().saturating_sub(before);
        best = best.max(batch as f64 / spent.as_secs_f64().max(1e-9) / 1e9);
    }
    debug_assert!(operations > 0);
    best
}

/// Time the calling thread has had a core; wall time where that is not known.
pub(crate) fn thread_time() -> Duration {
    #[cfg(target_os = "linux")]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(
            u64::try_from(time.tv_sec).unwrap_or(0),
            u32::try_from(time.tv_nsec).unwrap_or(0),
        )
    }
    #[cfg(not(target_os = "linux"))]
    {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }
}
