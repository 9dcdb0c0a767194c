//! Names of open stores, by which anyone can tell whether they still live.

use crate::Store;

impl Store {
    /// The name of this open store, unlike that of any other in any process:
    /// the process number, a hyphen and 16 hexadecimal digits. To be used as
    /// the owner of claimed work, also with `:` and a tag behind it. It lives
    /// until the last clone of this handle goes; that of a store opened for
    /// reading counts as lost from the beginning.
    pub fn instance(&self) -> &str {
        self.home().instance()
    }

    /// Those among `candidates` whose store is no more, because it was closed
    /// or its process died. A tag behind `:` is not looked at. What is no
    /// instance name at all is lost, too. Asks the first database that this
    /// handle has: what lives by another counts for that one alone.
    pub fn lost_owners(&self, candidates: &[String]) -> Vec<String> {
        let own = self.home().writes().then(|| self.instance());
        let others = match self.first().location().living() {
            Ok(others) => others,
            // Nobody is given up while nobody can be asked.
            Err(failure) => {
                tracing::debug!(?failure, "cannot tell which stores live");
                return Vec::new();
            }
        };
        let is_lost = |owner: &&String| {
            let name = owner.split(':').next().unwrap_or_default();
            Some(name) != own && !others.has(name)
        };
        candidates.iter().filter(is_lost).cloned().collect()
    }
}
