//! The forward pass in int8: what embeds pages.

use std::ops::Range;

use crate::kernels::{self, Activations, AttentionScratch, HEAD_DIMS, Kernel, PackedDense};
use crate::model::{Dense, LayerTensors, Norm, Parsed, Shape, dequantize_row, floats};

/// Encoder weights, packed for one kernel: 21 MB for e5-small.
#[derive(Debug)]
pub(crate) struct Encoder {
    kernel: Kernel,
    shape: Shape,
    embedding_norm: NormWeights,
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    /// Queries, keys and values in one product. The query part carries the
    /// factor 1/sqrt(head dims) of the attention scores.
    query_key_value: PackedDense,
    attention_out: PackedDense,
    attention_norm: NormWeights,
    expand: PackedDense,
    contract: PackedDense,
    output_norm: NormWeights,
}

#[derive(Debug)]
pub(crate) struct NormWeights {
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

impl NormWeights {
    pub(crate) fn read(bytes: &[u8], norm: &Norm) -> NormWeights {
        NormWeights {
            weight: floats(&bytes[norm.weight.clone()]).collect(),
            bias: floats(&bytes[norm.bias.clone()]).collect(),
        }
    }
}

/// Buffers of a forward pass, reused from batch to batch.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    states: Vec<f32>,
    wide: Vec<f32>,
    contexts: Vec<f32>,
    block: Vec<f32>,
    outputs: Vec<f32>,
    activations: Activations,
    attention: AttentionScratch,
}

impl Encoder {
    /// Tokens that go through the dense layers together. 96 rows keep the widest
    /// intermediate (96 x 1,536 f32, 590 kB) in a 1 MB second-level cache and are
    /// whole tiles of six and of four.
    pub(crate) const BLOCK_TOKENS: usize = 96;

    pub(crate) fn load(kernel: Kernel, bytes: &[u8], model: &Parsed) -> Encoder {
        Encoder {
            kernel,
            shape: model.shape,
            embedding_norm: NormWeights::read(bytes, &model.tensors.embedding_norm),
            layers: model
                .tensors
                .layers
                .iter()
                .map(|layer| Layer::load(kernel, bytes, layer))
                .collect(),
        }
    }

    /// One vector of length 1 for each sequence of token rows.
    pub(crate) fn forward(
        &self,
        bytes: &[u8],
        model: &Parsed,
        sequences: &[Vec<u32>],
        scratch: &mut Scratch,
    ) -> Vec<Vec<f32>> {
        let dims = self.shape.dims;
        let tokens: usize = sequences.iter().map(Vec::len).sum();
        scratch.states.resize(tokens * dims, 0.0);
        scratch.wide.resize(tokens * dims * 3, 0.0);
        scratch.contexts.resize(tokens * dims, 0.0);
        embed_tokens(
            bytes,
            model,
            sequences,
            &mut scratch.states,
            &mut scratch.contexts,
        );
        kernels::add_norm(
            self.kernel,
            &mut scratch.states,
            &scratch.contexts,
            &self.embedding_norm.weight,
            &self.embedding_norm.bias,
            self.shape.epsilon,
        );
        for layer in &self.layers {
            self.run_layer(layer, sequences, scratch);
        }
        pool(sequences, &scratch.states, dims)
    }

    fn run_layer(&self, layer: &Layer, sequences: &[Vec<u32>], scratch: &mut Scratch) {
        let dims = self.shape.dims;
        let Scratch {
            states,
            wide,
            contexts,
            block,
            outputs,
            activations,
            attention,
        } = scratch;
        let block_values = Encoder::BLOCK_TOKENS * dims;
        for (states, wide) in states
            .chunks(block_values)
            .zip(wide.chunks_mut(block_values * 3))
        {
            kernels::quantize(self.kernel, states, dims, activations);
            kernels::multiply(activations, &layer.query_key_value, wide);
        }
        for tokens in token_ranges(sequences) {
            kernels::attention(
                self.kernel,
                &wide[tokens.start * dims * 3..tokens.end * dims * 3],
                self.shape.heads,
                attention,
                &mut contexts[tokens.start * dims..tokens.end * dims],
            );
        }
        for (states, contexts) in states
            .chunks_mut(block_values)
            .zip(contexts.chunks(block_values))
        {
            let rows = states.len() / dims;
            outputs.resize(rows * dims, 0.0);
            kernels::quantize(self.kernel, contexts, dims, activations);
            kernels::multiply(activations, &layer.attention_out, outputs);
            self.add_norm(states, outputs, &layer.attention_norm);

            block.resize(rows * self.shape.feed_forward, 0.0);
            kernels::quantize(self.kernel, states, dims, activations);
            kernels::multiply(activations, &layer.expand, block);
            kernels::gelu(self.kernel, block);
            kernels::quantize(self.kernel, block, self.shape.feed_forward, activations);
            kernels::multiply(activations, &layer.contract, outputs);
            self.add_norm(states, outputs, &layer.output_norm);
        }
    }

    fn add_norm(&self, states: &mut [f32], outputs: &[f32], norm: &NormWeights) {
        kernels::add_norm(
            self.kernel,
            states,
            outputs,
            &norm.weight,
            &norm.bias,
            self.shape.epsilon,
        );
    }
}

impl Layer {
    fn load(kernel: Kernel, bytes: &[u8], tensors: &LayerTensors) -> Layer {
        Layer {
            query_key_value: pack_attention_inputs(kernel, bytes, tensors),
            attention_out: pack(kernel, bytes, &tensors.attention_out),
            attention_norm: NormWeights::read(bytes, &tensors.attention_norm),
            expand: pack(kernel, bytes, &tensors.expand),
            contract: pack(kernel, bytes, &tensors.contract),
            output_norm: NormWeights::read(bytes, &tensors.output_norm),
        }
    }
}

fn pack(kernel: Kernel, bytes: &[u8], dense: &Dense) -> PackedDense {
    let bias = floats(&bytes[dense.bias.clone()]).collect();
    let weights = &dense.weights;
    PackedDense::pack(kernel, weights.rows, weights.columns, bias, |row, out| {
        dequantize_row(weights.row(bytes, row), out);
    })
}

fn pack_attention_inputs(kernel: Kernel, bytes: &[u8], tensors: &LayerTensors) -> PackedDense {
    let parts = [&tensors.query, &tensors.key, &tensors.value];
    let rows = tensors.query.weights.rows;
    let query_scale = 1.0 / (HEAD_DIMS as f32).sqrt();
    let scale = |part: usize| if part == 0 { query_scale } else { 1.0 };
    let bias = parts
        .iter()
        .enumerate()
        .flat_map(|(p, dense)| floats(&bytes[dense.bias.clone()]).map(move |b| b * scale(p)))
        .collect();
    PackedDense::pack(
        kernel,
        3 * rows,
        tensors.query.weights.columns,
        bias,
        |row, out| {
            let part = row / rows;
            dequantize_row(parts[part].weights.row(bytes, row % rows), out);
            out.iter_mut().for_each(|w| *w *= scale(part));
        },
    )
}

/// Word vectors into `words`; position and token type vectors into `rest`.
pub(crate) fn embed_tokens(
    bytes: &[u8],
    model: &Parsed,
    sequences: &[Vec<u32>],
    words: &mut [f32],
    rest: &mut [f32],
) {
    let dims = model.shape.dims;
    let tensors = &model.tensors;
    let token_type: Vec<f32> = floats(&bytes[tensors.token_type.clone()])
        .take(dims)
        .collect();
    let positions = &bytes[tensors.positions.clone()];
    let mut rows = words
        .chunks_exact_mut(dims)
        .zip(rest.chunks_exact_mut(dims));
    for sequence in sequences {
        for (position, (token, (word, rest))) in sequence.iter().zip(&mut rows).enumerate() {
            dequantize_row(tensors.words.row(bytes, *token as usize), word);
            let at = position * dims * 4;
            let place = floats(&positions[at..at + dims * 4]);
            for ((rest, place), kind) in rest.iter_mut().zip(place).zip(&token_type) {
                *rest = place + kind;
            }
        }
    }
}

/// The mean of each sequence's states, scaled to length 1.
pub(crate) fn pool(sequences: &[Vec<u32>], states: &[f32], dims: usize) -> Vec<Vec<f32>> {
    token_ranges(sequences)
        .map(|tokens| {
            let mut mean = vec![0f32; dims];
            for state in states[tokens.start * dims..tokens.end * dims].chunks_exact(dims) {
                mean.iter_mut().zip(state).for_each(|(m, s)| *m += s);
            }
            crate::quantize::normalize(&mut mean);
            mean
        })
        .collect()
}

pub(crate) fn token_ranges(sequences: &[Vec<u32>]) -> impl Iterator<Item = Range<usize>> {
    sequences.iter().scan(0, |end, sequence| {
        let start = *end;
        *end += sequence.len();
        Some(start..*end)
    })
}
