//! The model inside the program. Compiled in as bytes, it lies in read-only
//! pages of the executable that are read when touched and shared by processes.

const BUNDLED: &[u8] = include_bytes!("../../../models/multilingual-e5-small-q4-pruned.bin");

/// The bundled model file: multilingual-e5-small, Q4, pruned vocabulary.
#[must_use]
pub fn bundled_model() -> &'static [u8] {
    BUNDLED
}
