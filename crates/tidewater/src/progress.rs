use indicatif::ProgressStyle;

/// How a progress bar or spinner looks: the templates are the program's own, and all of them are right.
pub fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
