//! What ctpipe's own pages share: their style, and the escaping of text.

/// The style of the pages; the report uses the same.
pub const STYLE: &str = include_str!("html.css");

/// Escapes a text for any place in HTML.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
