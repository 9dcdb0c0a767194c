//! The local model: tokenizer, weights and forward pass together.

use std::path::Path;

use crate::bundled;
use crate::encoder::{Encoder, Scratch};
use crate::error::ModelError;
use crate::kernels::Kernel;
use crate::model::{self, ModelBytes, Parsed};
use crate::reference;
use crate::tokenizer::{Piece, Tokenizer};

/// Tokens of one text at most, special tokens included: the positions the
/// model was trained with.
pub const TOKENS_MAX: usize = 512;

/// What a text is for; e5 was trained with a prefix for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextKind {
    Query,
    Passage,
}

impl TextKind {
    /// Prefix that e5 was trained with.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            TextKind::Query => "query: ",
            TextKind::Passage => "passage: ",
        }
    }
}

/// Arithmetic of the forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Int8 products with the given kernel.
    Int8(Kernel),
    /// Plain f32, slow: for checking.
    F32,
}

/// A model ready to embed. Shared between threads; buffers are the caller's.
#[derive(Debug)]
pub struct LocalModel {
    bytes: ModelBytes,
    parsed: Parsed,
    tokenizer: Tokenizer,
    /// `None` when running in f32.
    encoder: Option<Encoder>,
    id: String,
}

fn id_of(identity: [u8; 32], precision: Precision) -> String {
    let suffix = match precision {
        Precision::Int8(_) => "",
        Precision::F32 => "-f32",
    };
    let hash = model::hex(&identity[..6]);
    format!("{}-{hash}{suffix}", model::MODEL_NAME)
}

/// Buffers for embedding, one per thread.
#[derive(Debug, Default)]
pub struct EmbedBuffers(Scratch);

impl LocalModel {
    /// The model inside this program.
    pub fn bundled(precision: Precision) -> Result<LocalModel, ModelError> {
        let bytes = ModelBytes::Static(bundled::bundled_model());
        let parsed = Parsed::parse(bytes.as_slice())?;
        // The linker does not garble; a test compares the checksum. Hashing here
        // would make every page of the model resident.
        let identity = parsed.checksum.unwrap_or_default();
        Ok(LocalModel::assemble(bytes, parsed, identity, precision))
    }

    /// The id that a model would have, without keeping it in memory: of the file
    /// at `path`, which is checked whole, or of the model inside this program.
    pub fn identify(path: Option<&Path>, precision: Precision) -> Result<String, ModelError> {
        let identity = match path {
            Some(path) => model::open(path)?.2,
            None => Parsed::parse(bundled::bundled_model())?
                .checksum
                .unwrap_or_default(),
        };
        Ok(id_of(identity, precision))
    }

    /// A model file: ours, or the full-vocabulary E5S1.
    pub fn open(path: &Path, precision: Precision) -> Result<LocalModel, ModelError> {
        let (bytes, parsed, identity) = model::open(path)?;
        Ok(LocalModel::assemble(bytes, parsed, identity, precision))
    }

    fn assemble(
        bytes: ModelBytes,
        mut parsed: Parsed,
        identity: [u8; 32],
        precision: Precision,
    ) -> LocalModel {
        let tokenizer = Tokenizer::new(
            &parsed.vocabulary,
            &parsed.character_map,
            parsed.specials,
            parsed.unknown_score,
        );
        // The trie and the normaliser hold what was in them.
        parsed.vocabulary = model::Vocabulary::default();
        parsed.character_map = model::CharacterMap::new();
        let encoder = match precision {
            Precision::Int8(kernel) => Some(Encoder::load(kernel, bytes.as_slice(), &parsed)),
            Precision::F32 => None,
        };
        LocalModel {
            bytes,
            parsed,
            tokenizer,
            encoder,
            id: id_of(identity, precision),
        }
    }

    /// Name and short hash of the weights.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    #[must_use]
    pub fn dims(&self) -> usize {
        self.parsed.shape.dims
    }

    /// Tokens of a text, without prefix and special tokens, not cut off.
    #[must_use]
    pub fn count_tokens(&self, text: &str) -> usize {
        self.tokenizer.count(text)
    }

    /// The tokens of a text as text.
    #[must_use]
    pub fn pieces(&self, text: &str) -> Vec<Piece> {
        self.tokenizer.pieces(text)
    }

    /// Whether the vocabulary has exactly this piece; a word's start is `▁`.
    #[must_use]
    pub fn knows_piece(&self, piece: &str) -> bool {
        self.tokenizer.knows_piece(piece)
    }

    /// Token rows of a text as the model sees it: with prefix and special
    /// tokens, cut off at [`TOKENS_MAX`].
    #[must_use]
    pub fn tokenize(&self, text: &str, kind: TextKind) -> Vec<u32> {
        let tokens_max = TOKENS_MAX.min(self.parsed.shape.positions);
        self.tokenizer.encode(kind.prefix(), text, tokens_max)
    }

    /// A vector of length 1 for each sequence made by [`LocalModel::tokenize`].
    /// All of them run together: memory grows with their total length.
    pub fn embed(&self, sequences: &[Vec<u32>], buffers: &mut EmbedBuffers) -> Vec<Vec<f32>> {
        let bytes = self.bytes.as_slice();
        match &self.encoder {
            Some(encoder) => encoder.forward(bytes, &self.parsed, sequences, &mut buffers.0),
            None => reference::forward(bytes, &self.parsed, sequences),
        }
    }

    /// Tokenises and embeds one text after the other; for tests and tools.
    #[must_use]
    pub fn embed_texts(&self, texts: &[&str], kind: TextKind) -> Vec<Vec<f32>> {
        let mut buffers = EmbedBuffers::default();
        texts
            .iter()
            .flat_map(|text| self.embed(&[self.tokenize(text, kind)], &mut buffers))
            .collect()
    }
}
