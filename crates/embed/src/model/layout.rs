//! Where each tensor of a model lies in its file.

use std::ops::Range;

use super::bytes::Cursor;
use super::q4;
use crate::error::{ModelError, ModelErrorKind};

/// Dimensions of the encoder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shape {
    pub(crate) dims: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) feed_forward: usize,
    pub(crate) vocabulary: usize,
    pub(crate) positions: usize,
    pub(crate) epsilon: f32,
}

impl Shape {
    /// Refuses shapes the kernels are not made for, before anything is sized by them.
    pub(crate) fn validate(&self) -> Result<(), ModelError> {
        let fits = self.dims == 384
            && self.heads == 12
            && self.feed_forward == 1536
            && (1..=48).contains(&self.layers)
            && (4..=1_000_000).contains(&self.vocabulary)
            && (8..=8192).contains(&self.positions)
            && self.epsilon > 0.0
            && self.epsilon < 1.0;
        if fits {
            return Ok(());
        }
        Err(ModelError::new(
            ModelErrorKind::Unsupported,
            format!("model shape is not that of e5-small: {self:?}"),
        ))
    }
}

/// A weight matrix in Q4_0 rows.
#[derive(Clone, Debug)]
pub(crate) struct Matrix {
    pub(crate) range: Range<usize>,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl Matrix {
    pub(crate) fn row<'a>(&self, bytes: &'a [u8], row: usize) -> &'a [u8] {
        let width = q4::row_bytes(self.columns);
        let start = self.range.start + row * width;
        &bytes[start..start + width]
    }
}

/// A dense layer: weights and the bias, one value per output.
#[derive(Clone, Debug)]
pub(crate) struct Dense {
    pub(crate) weights: Matrix,
    pub(crate) bias: Range<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct Norm {
    pub(crate) weight: Range<usize>,
    pub(crate) bias: Range<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct LayerTensors {
    pub(crate) query: Dense,
    pub(crate) key: Dense,
    pub(crate) value: Dense,
    pub(crate) attention_out: Dense,
    pub(crate) attention_norm: Norm,
    pub(crate) expand: Dense,
    pub(crate) contract: Dense,
    pub(crate) output_norm: Norm,
}

/// Every tensor of a model, as byte ranges of its file.
#[derive(Clone, Debug)]
pub(crate) struct Tensors {
    pub(crate) words: Matrix,
    pub(crate) positions: Range<usize>,
    pub(crate) token_type: Range<usize>,
    pub(crate) embedding_norm: Norm,
    pub(crate) layers: Vec<LayerTensors>,
}

/// Hands out tensors by name: from a directory, or one after the other.
pub(crate) trait TensorSource {
    fn tensor(&mut self, name: &str, bytes: usize) -> Result<Range<usize>, ModelError>;
}

impl Tensors {
    pub(crate) fn locate(
        shape: &Shape,
        source: &mut impl TensorSource,
    ) -> Result<Tensors, ModelError> {
        let dims = shape.dims;
        let mut take = |name: &str, floats: usize| source.tensor(name, floats * 4);
        let positions = take("emb.pos", shape.positions * dims)?;
        let token_type = take("emb.type", dims)?;
        let embedding_norm = Norm {
            weight: take("emb.ln.w", dims)?,
            bias: take("emb.ln.b", dims)?,
        };
        let layers = (0..shape.layers)
            .map(|l| LayerTensors::locate(l, shape, source))
            .collect::<Result<_, _>>()?;
        let words = matrix(source, "emb.word", shape.vocabulary, dims)?;
        Ok(Tensors {
            words,
            positions,
            token_type,
            embedding_norm,
            layers,
        })
    }
}

impl Tensors {
    /// Bytes of everything but the embedding rows.
    pub(crate) fn bytes_without_words(&self) -> usize {
        let norm = |n: &Norm| n.weight.len() + n.bias.len();
        let dense = |d: &Dense| d.weights.range.len() + d.bias.len();
        let layers = self.layers.iter().map(|l| {
            dense(&l.query)
                + dense(&l.key)
                + dense(&l.value)
                + dense(&l.attention_out)
                + dense(&l.expand)
                + dense(&l.contract)
                + norm(&l.attention_norm)
                + norm(&l.output_norm)
        });
        self.positions.len()
            + self.token_type.len()
            + norm(&self.embedding_norm)
            + layers.sum::<usize>()
    }
}

impl LayerTensors {
    fn locate(
        layer: usize,
        shape: &Shape,
        source: &mut impl TensorSource,
    ) -> Result<LayerTensors, ModelError> {
        let (dims, wide) = (shape.dims, shape.feed_forward);
        let mut dense = |name: &str, rows, columns| -> Result<Dense, ModelError> {
            Ok(Dense {
                weights: matrix(source, &format!("l{layer}.{name}.w"), rows, columns)?,
                bias: source.tensor(&format!("l{layer}.{name}.b"), rows * 4)?,
            })
        };
        let query = dense("q", dims, dims)?;
        let key = dense("k", dims, dims)?;
        let value = dense("v", dims, dims)?;
        let attention_out = dense("ao", dims, dims)?;
        let expand = dense("fi", wide, dims)?;
        let contract = dense("fo", dims, wide)?;
        let mut norm = |name: &str| -> Result<Norm, ModelError> {
            Ok(Norm {
                weight: source.tensor(&format!("l{layer}.{name}.w"), dims * 4)?,
                bias: source.tensor(&format!("l{layer}.{name}.b"), dims * 4)?,
            })
        };
        Ok(LayerTensors {
            query,
            key,
            value,
            attention_out,
            attention_norm: norm("aln")?,
            expand,
            contract,
            output_norm: norm("oln")?,
        })
    }
}

fn matrix(
    source: &mut impl TensorSource,
    name: &str,
    rows: usize,
    columns: usize,
) -> Result<Matrix, ModelError> {
    Ok(Matrix {
        range: source.tensor(name, rows * q4::row_bytes(columns))?,
        rows,
        columns,
    })
}

/// Tensors that follow each other without gaps, in the order they are asked for.
pub(crate) struct Sequential<'a>(pub(crate) Cursor<'a>);

impl TensorSource for Sequential<'_> {
    fn tensor(&mut self, _name: &str, bytes: usize) -> Result<Range<usize>, ModelError> {
        let start = self.0.at();
        self.0.take(bytes)?;
        Ok(start..start + bytes)
    }
}

/// Reads little-endian floats; model files promise no alignment.
pub(crate) fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|b| f32::from_le_bytes(*b))
}
