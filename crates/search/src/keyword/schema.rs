//! The fields of the keyword index: one tantivy document per page.
//!
//! Nothing is stored in tantivy, the store has it all. A page's text is
//! analysed once; the columns `chunk` and `chunk_span` say which token
//! positions belong to which chunk, so chunk scores come from the positions
//! and no second kind of document has to be written.

use tantivy::schema::{
    Field, IndexRecordOption, NumericOptions, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{Token, TokenStream, Tokenizer, TokenizerManager};

use crate::engine::tokens::{SAME_POSITION, SEPARATOR};

/// Changes whenever fields or the analyser's output change: an index directory
/// with another version is rebuilt.
pub(crate) const SCHEMA_VERSION: u32 = 3;

const TOKENIZER: &str = "gleaner_tokens";

#[derive(Clone, Debug)]
pub(crate) struct Fields {
    pub(crate) page: Field,
    pub(crate) tenant: Field,
    pub(crate) source: Field,
    pub(crate) host: Field,
    pub(crate) path: Field,
    pub(crate) language: Field,
    pub(crate) published: Field,
    pub(crate) structured: Field,
    /// Names and values, to be counted.
    pub(crate) facet: Field,
    pub(crate) price: Field,
    /// A year's pay: the highest and the lowest that is stated.
    pub(crate) salary_most: Field,
    pub(crate) salary_least: Field,
    pub(crate) title: Field,
    pub(crate) headings: Field,
    pub(crate) body: Field,
    pub(crate) url_words: Field,
    /// Tokens of each of [`Fields::searched`].
    pub(crate) tokens: Field,
    pub(crate) chunk: Field,
    pub(crate) chunk_span: Field,
}

impl Fields {
    /// The fields that words are looked for in.
    pub(crate) fn searched(&self) -> [Field; 4] {
        [self.title, self.headings, self.body, self.url_words]
    }
}

pub(crate) const PAGE_COLUMN: &str = "page";
pub(crate) const PUBLISHED_COLUMN: &str = "published";
pub(crate) const FACET_COLUMN: &str = "facet";
pub(crate) const TOKENS_COLUMN: &str = "tokens";
pub(crate) const CHUNK_COLUMN: &str = "chunk";
pub(crate) const CHUNK_SPAN_COLUMN: &str = "chunk_span";

pub(crate) fn build() -> (Schema, Fields) {
    let mut schema = Schema::builder();
    let indexing = |option, tokenizer: &str, norms| {
        TextOptions::default().set_indexing_options(
            TextFieldIndexing::default()
                .set_tokenizer(tokenizer)
                .set_fieldnorms(norms)
                .set_index_option(option),
        )
    };
    let exact = indexing(IndexRecordOption::Basic, "raw", false);
    let text = indexing(IndexRecordOption::WithFreqsAndPositions, TOKENIZER, true);
    let words = indexing(IndexRecordOption::WithFreqs, TOKENIZER, true);
    let id = NumericOptions::default().set_indexed();
    let column = NumericOptions::default().set_fast();
    let counted = TextOptions::default().set_fast("raw");
    let fields = Fields {
        page: schema.add_i64_field(PAGE_COLUMN, id.clone().set_fast()),
        tenant: schema.add_i64_field("tenant", id.clone()),
        source: schema.add_i64_field("source", id),
        host: schema.add_text_field("host", exact.clone()),
        path: schema.add_text_field("path", exact.clone()),
        language: schema.add_text_field("language", exact.clone()),
        published: schema.add_i64_field(PUBLISHED_COLUMN, column.clone()),
        structured: schema.add_text_field("structured", exact),
        facet: schema.add_text_field(FACET_COLUMN, counted),
        price: schema.add_f64_field("price", column.clone()),
        salary_most: schema.add_f64_field("salary_most", column.clone()),
        salary_least: schema.add_f64_field("salary_least", column.clone()),
        title: schema.add_text_field("title", text.clone()),
        headings: schema.add_text_field("headings", text.clone()),
        body: schema.add_text_field("body", text),
        url_words: schema.add_text_field("url_words", words),
        tokens: schema.add_u64_field(TOKENS_COLUMN, column.clone()),
        chunk: schema.add_i64_field(CHUNK_COLUMN, column.clone()),
        chunk_span: schema.add_u64_field(CHUNK_SPAN_COLUMN, column),
    };
    (schema.build(), fields)
}

pub(crate) fn tokenizers() -> TokenizerManager {
    let manager = TokenizerManager::default();
    manager.register(TOKENIZER, AnalyzedTokens::default());
    manager
}

/// Reads back the tokens that [`crate::Analyzer`] wrote with the separators above.
/// The analysis itself happens before, because it depends on the page's
/// language, which a tantivy tokenizer is not told.
#[derive(Clone, Debug, Default)]
struct AnalyzedTokens {
    token: Token,
}

struct AnalyzedStream<'a> {
    rest: &'a str,
    next_position: usize,
    token: &'a mut Token,
}

impl Tokenizer for AnalyzedTokens {
    type TokenStream<'a> = AnalyzedStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> AnalyzedStream<'a> {
        self.token.reset();
        AnalyzedStream {
            rest: text,
            next_position: 0,
            token: &mut self.token,
        }
    }
}

impl TokenStream for AnalyzedStream<'_> {
    fn advance(&mut self) -> bool {
        if self.rest.is_empty() {
            return false;
        }
        let (token, rest) = self.rest.split_once(SEPARATOR).unwrap_or((self.rest, ""));
        self.rest = rest;
        self.token.position = self.next_position;
        self.token.text.clear();
        if let Some(shared) = token.strip_prefix(SAME_POSITION) {
            self.token.text.push_str(shared);
        } else {
            self.token.text.push_str(token);
            self.next_position += 1;
        }
        true
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}
