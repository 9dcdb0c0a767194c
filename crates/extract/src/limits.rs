/// Bounds of one extraction. All are generous for real pages; they exist so
/// that a hostile page costs a known amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtractLimits {
    /// Links kept per page; later ones are dropped. Default 20,000: the
    /// general index of a large manual holds 15,000.
    pub links_max: usize,
    /// Images kept per page. Default 500.
    pub images_max: usize,
    /// Bytes of plain text. The rest of the page is cut. Default 8 MiB.
    pub text_bytes_max: usize,
    /// Bytes of Markdown. Default 16 MiB.
    pub markdown_bytes_max: usize,
    /// Nesting of elements; deeper tags are ignored, their text is kept. Default 256.
    pub dom_depth_max: usize,
    /// Elements and texts of one page; later tags are ignored. Default 2 million.
    pub dom_nodes_max: usize,
    /// Bytes of JSON-LD and microdata together. Default 256 KiB.
    pub structured_bytes_max: usize,
    /// OpenGraph and Twitter properties. Default 100.
    pub open_graph_max: usize,
    /// Bytes of a sitemap after decompression: the protocol's own limit, 50 MiB.
    pub sitemap_bytes_max: usize,
    /// Entries of a sitemap or feed: the protocol's own limit, 50,000.
    pub sitemap_entries_max: usize,
}

impl Default for ExtractLimits {
    fn default() -> ExtractLimits {
        ExtractLimits {
            links_max: 20_000,
            images_max: 500,
            text_bytes_max: 8 * 1024 * 1024,
            markdown_bytes_max: 16 * 1024 * 1024,
            dom_depth_max: 256,
            dom_nodes_max: 2_000_000,
            structured_bytes_max: 256 * 1024,
            open_graph_max: 100,
            sitemap_bytes_max: 50 * 1024 * 1024,
            sitemap_entries_max: 50_000,
        }
    }
}
