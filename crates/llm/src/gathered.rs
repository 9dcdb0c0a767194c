//! An answer as far as it has come.

use crate::error::LlmError;
use crate::prompt::{Finish, Reply, Usage};

#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) text: String,
    pub(crate) usage: Option<Usage>,
    pub(crate) finish: Option<Finish>,
    pub(crate) model: Option<String>,
}

impl Gathered {
    /// An answer that does not say why it ends was cut off.
    pub(crate) fn into_reply(self, configured_model: &str) -> Result<Reply, LlmError> {
        let Some(finish) = self.finish else {
            return Err(LlmError::bad("the language model's answer was cut short"));
        };
        Ok(Reply {
            text: self.text,
            usage: self.usage,
            finish,
            model: self.model.unwrap_or_else(|| configured_model.to_owned()),
        })
    }
}
