//! The forward pass in f32, plainly: the yardstick of the int8 path and what
//! `--f32` runs. Shares no arithmetic with the kernels.

use crate::encoder::{NormWeights, embed_tokens, pool, token_ranges};
use crate::model::{Dense, Parsed, dequantize_row, floats};

pub(crate) fn forward(bytes: &[u8], model: &Parsed, sequences: &[Vec<u32>]) -> Vec<Vec<f32>> {
    let shape = &model.shape;
    let dims = shape.dims;
    let tokens: usize = sequences.iter().map(Vec::len).sum();
    let mut states = vec![0f32; tokens * dims];
    let mut rest = states.clone();
    embed_tokens(bytes, model, sequences, &mut states, &mut rest);
    let norm = NormWeights::read(bytes, &model.tensors.embedding_norm);
    add_norm(&mut states, &rest, &norm, shape.epsilon);
    for layer in &model.tensors.layers {
        let query = dense(bytes, &layer.query, &states);
        let key = dense(bytes, &layer.key, &states);
        let value = dense(bytes, &layer.value, &states);
        let context = attention(sequences, shape.heads, dims, &query, &key, &value);
        let output = dense(bytes, &layer.attention_out, &context);
        let norm = NormWeights::read(bytes, &layer.attention_norm);
        add_norm(&mut states, &output, &norm, shape.epsilon);

        let mut wide = dense(bytes, &layer.expand, &states);
        wide.iter_mut().for_each(|x| *x = gelu(*x));
        let output = dense(bytes, &layer.contract, &wide);
        let norm = NormWeights::read(bytes, &layer.output_norm);
        add_norm(&mut states, &output, &norm, shape.epsilon);
    }
    pool(sequences, &states, dims)
}

fn dense(bytes: &[u8], dense: &Dense, input: &[f32]) -> Vec<f32> {
    let (rows, columns) = (dense.weights.rows, dense.weights.columns);
    let mut out = vec![0f32; input.len() / columns * rows];
    let mut weights = vec![0f32; columns];
    for (row, bias) in floats(&bytes[dense.bias.clone()]).enumerate() {
        dequantize_row(dense.weights.row(bytes, row), &mut weights);
        for (input, out) in input.chunks_exact(columns).zip(out.chunks_exact_mut(rows)) {
            out[row] = dot(input, &weights) + bias;
        }
    }
    out
}

/// Sixteen running sums: the compiler may then use vectors.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; 16];
    for (a, b) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
        for i in 0..16 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum()
}

fn attention(
    sequences: &[Vec<u32>],
    heads: usize,
    dims: usize,
    query: &[f32],
    key: &[f32],
    value: &[f32],
) -> Vec<f32> {
    let width = dims / heads;
    let scale = 1.0 / (width as f32).sqrt();
    let mut out = vec![0f32; query.len()];
    for tokens in token_ranges(sequences) {
        for head in 0..heads {
            let part =
                |token: usize| token * dims + head * width..token * dims + (head + 1) * width;
            for token in tokens.clone() {
                let query = &query[part(token)];
                let mut scores: Vec<f32> = tokens
                    .clone()
                    .map(|other| dot(query, &key[part(other)]) * scale)
                    .collect();
                let largest = scores.iter().copied().fold(f32::MIN, f32::max);
                scores.iter_mut().for_each(|s| *s = (*s - largest).exp());
                let total: f32 = scores.iter().sum();
                let out = &mut out[part(token)];
                for (other, score) in tokens.clone().zip(&scores) {
                    for (o, v) in out.iter_mut().zip(&value[part(other)]) {
                        *o += score / total * v;
                    }
                }
            }
        }
    }
    out
}

fn add_norm(states: &mut [f32], added: &[f32], norm: &NormWeights, epsilon: f32) {
    let width = norm.weight.len();
    for (states, added) in states
        .chunks_exact_mut(width)
        .zip(added.chunks_exact(width))
    {
        states.iter_mut().zip(added).for_each(|(s, a)| *s += a);
        let mean = states.iter().sum::<f32>() / width as f32;
        let variance = states.iter().map(|s| (s - mean).powi(2)).sum::<f32>() / width as f32;
        let scale = 1.0 / (variance + epsilon).sqrt();
        for ((s, w), b) in states.iter_mut().zip(&norm.weight).zip(&norm.bias) {
            *s = (*s - mean) * scale * w + b;
        }
    }
}

fn gelu(x: f32) -> f32 {
    let x = f64::from(x);
    (0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2))) as f32
}

/// The error function by its Maclaurin series in the middle, where it converges
/// quickly; past 4 it is 1 to 1.6e-8.
pub(crate) fn erf(x: f64) -> f64 {
    if x.abs() > 4.0 {
        return x.signum();
    }
    let square = x * x;
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while term.abs() > 1e-12 {
        n += 1.0;
        term *= -square / n;
        sum += term / (2.0 * n + 1.0);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

#[cfg(test)]
mod tests {
    use super::erf;

    #[test]
    fn known_values_of_erf() {
        // Abramowitz and Stegun, table 7.1.
        let check = |x: f64, y: f64| assert!((erf(x) - y).abs() < 1e-9, "{x}: {}", erf(x));
        check(0.0, 0.0);
        check(0.1, 0.112_462_916_0);
        check(0.5, 0.520_499_877_8);
        check(-1.0, -0.842_700_792_9);
        check(2.0, 0.995_322_265_0);
        check(3.0, 0.999_977_909_5);
    }
}
