//! What `gleaner bench embed` reports.

use std::time::{Duration, Instant};

use crate::encoder::Encoder;
use crate::error::EmbedError;
use crate::kernels::{self, Activations, Kernel, PackedDense};
use crate::local::{EmbedBuffers, LocalModel, Precision, TextKind};

/// Tokens of each passage in the throughput figure.
const PASSAGE_TOKENS: usize = 128;
/// Tokens per forward pass in the throughput figure: five blocks and a part.
const BATCH_TOKENS: usize = 512;

/// Speed and exactness of the local model on this machine, on one core.
#[derive(Clone, Debug)]
pub struct EmbedBench {
    /// Build chosen on this machine.
    pub kernel: Kernel,
    /// From nothing to the first vector.
    pub load_ms: f64,
    /// Passages of 128 tokens in batches of 512 tokens, chosen build.
    pub tokens_per_s_core: f64,
    /// Best of several runs.
    pub query_ms: f64,
    /// Every build this machine can run.
    pub kernels: Vec<KernelBench>,
    /// Smallest cosine between the int8 and the f32 path over the sample texts.
    pub cosine_to_f32: f64,
}

/// One build of the kernels. Operations are multiplications and additions.
#[derive(Clone, Debug)]
pub struct KernelBench {
    pub kernel: Kernel,
    pub tokens_per_s_core: f64,
    /// The four matrix products of a layer, without anything around them.
    pub gemm_gop_per_s: f64,
    /// The same instructions on registers alone.
    pub peak_gop_per_s: f64,
    /// `gemm_gop_per_s / peak_gop_per_s`.
    pub share: f64,
}

/// Measures the bundled model for about `seconds`.
pub fn bench(seconds: f64) -> Result<EmbedBench, EmbedError> {
    let kernels: Vec<Kernel> = Kernel::ALL
        .into_iter()
        .filter(|k| k.is_supported())
        .collect();
    let slice = Duration::from_secs_f64(seconds.clamp(0.1, 3600.0) / (3 * kernels.len()) as f64);
    let chosen = Kernel::detect();
    let started = Instant::now();
    let model = LocalModel::bundled(Precision::Int8(chosen))?;
    let _ = model.embed_texts(&["ready"], TextKind::Query);
    let load_ms = started.elapsed().as_secs_f64() * 1e3;

    let mut measured = Vec::new();
    for kernel in kernels {
        let own;
        let model = if kernel == chosen {
            &model
        } else {
            own = LocalModel::bundled(Precision::Int8(kernel))?;
            &own
        };
        // Peak on both sides of the products: a core's clock drifts.
        let before = kernels::peak_gop_per_s(kernel, slice / 2);
        let gemm_gop_per_s = gemm_gop_per_s(kernel, slice);
        let peak_gop_per_s = before.max(kernels::peak_gop_per_s(kernel, slice / 2));
        measured.push(KernelBench {
            kernel,
            tokens_per_s_core: tokens_per_s(model, slice),
            gemm_gop_per_s,
            peak_gop_per_s,
            share: gemm_gop_per_s / peak_gop_per_s,
        });
    }
    let tokens_per_s_core = measured
        .iter()
        .find(|m| m.kernel == chosen)
        .map_or(0.0, |m| m.tokens_per_s_core);
    Ok(EmbedBench {
        kernel: chosen,
        load_ms,
        tokens_per_s_core,
        query_ms: query_ms(&model),
        kernels: measured,
        cosine_to_f32: cosine_to_f32(&model)?,
    })
}

fn tokens_per_s(model: &LocalModel, duration: Duration) -> f64 {
    let text = SAMPLES.join(" ").repeat(4);
    let long = model.tokenize(&text, TextKind::Passage);
    let batch = vec![long[..PASSAGE_TOKENS].to_vec(); BATCH_TOKENS / PASSAGE_TOKENS];
    let mut buffers = EmbedBuffers::default();
    let mut rate = |sequences: &[Vec<u32>], duration| {
        best_rate(duration, || {
            std::hint::black_box(model.embed(sequences, &mut buffers));
            sequences.iter().map(Vec::len).sum::<usize>() as f64
        })
    };
    let alone = rate(&batch[..1], Duration::ZERO);
    if BATCH_TOKENS as f64 / alone > 2.0 * duration.as_secs_f64() {
        // So slow that one passage has to do.
        return alone;
    }
    rate(&batch, duration)
}

fn query_ms(model: &LocalModel) -> f64 {
    let tokens = model.tokenize("how does a crawler keep its pace", TextKind::Query);
    let mut buffers = EmbedBuffers::default();
    let rate = best_rate(Duration::from_millis(50), || {
        std::hint::black_box(model.embed(std::slice::from_ref(&tokens), &mut buffers));
        1.0
    });
    1e3 / rate
}

/// The shapes of a layer, over blocks of rows as the encoder uses them.
fn gemm_gop_per_s(kernel: Kernel, duration: Duration) -> f64 {
    let layers: Vec<(PackedDense, Activations)> =
        [(1152, 384), (384, 384), (1536, 384), (384, 1536)]
            .into_iter()
            .map(|(outputs, inputs)| {
                let mut next = pseudo_random();
                let dense =
                    PackedDense::pack(kernel, outputs, inputs, vec![0.0; outputs], |_, out| {
                        out.iter_mut().for_each(|x| *x = next());
                    });
                let values: Vec<f32> = (0..Encoder::BLOCK_TOKENS * inputs)
                    .map(|_| next())
                    .collect();
                let mut activations = Activations::default();
                kernels::quantize(kernel, &values, inputs, &mut activations);
                (dense, activations)
            })
            .collect();
    let mut out = vec![0f32; Encoder::BLOCK_TOKENS * 1536];
    best_rate(duration, || {
        let mut operations = 0;
        for (dense, activations) in &layers {
            let out = &mut out[..Encoder::BLOCK_TOKENS * dense.outputs()];
            kernels::multiply(activations, dense, out);
            operations += 2 * Encoder::BLOCK_TOKENS * dense.products();
        }
        std::hint::black_box(&mut out);
        operations as f64 / 1e9
    })
}

fn cosine_to_f32(model: &LocalModel) -> Result<f64, EmbedError> {
    let exact = LocalModel::bundled(Precision::F32)?;
    let sequences = SAMPLES.map(|text| model.tokenize(text, TextKind::Passage));
    let mut buffers = EmbedBuffers::default();
    let got = model.embed(&sequences, &mut buffers);
    let expected = exact.embed(&sequences, &mut buffers);
    let cosine = |(a, b): (&Vec<f32>, &Vec<f32>)| -> f64 {
        a.iter()
            .zip(b)
            .map(|(x, y)| f64::from(*x) * f64::from(*y))
            .sum()
    };
    Ok(got.iter().zip(&expected).map(cosine).fold(1.0, f64::min))
}

/// Work per second of the best run, by the time this thread had a core: other
/// programs want it too.
fn best_rate(duration: Duration, mut run: impl FnMut() -> f64) -> f64 {
    let started = Instant::now();
    let mut best = 0f64;
    loop {
        let before = kernels::thread_time();
        let work = run();
        let spent = kernels::thread_time().saturating_sub(before);
        best = best.max(work / spent.as_secs_f64().max(1e-9));
        if started.elapsed() >= duration {
            return best;
        }
    }
}

fn pseudo_random() -> impl FnMut() -> f32 {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

const SAMPLES: [&str; 8] = [
    "A crawler keeps its pace per host, not per page, and says who it is.",
    "The index is rebuilt from the store after a crash; nothing is fetched twice.",
    "Water boils at a lower temperature on a mountain because the air presses less.",
    "fn main() { let total: u64 = (1..=10).sum(); println!(\"{total}\"); }",
    "کتابخانه‌های دانشگاه هر روز از ساعت هشت صبح تا ده شب باز هستند.",
    "برای پختن برنج، نخست آن را چند بار بشویید و در آب نمک بخیسانید.",
    "موتور جست‌وجو باید نوشته‌ای را که با ی و ک عربی آمده نیز پیدا کند.",
    "Die Bibliothek ist sonntags geschlossen, montags ab neun Uhr geöffnet.",
];
