//! Pages about the API that are made from its code.

use super::error::Code;

/// Every error code with its status and what to do.
pub fn errors() -> String {
    let mut rows = String::new();
    for code in Code::ALL {
        let entry = code.entry();
        rows.push_str(&format!(
            "<tr id=\"{code}\"><td><code>{code}</code></td><td>{status}</td><td>{kind}</td>\
             <td>{help}</td></tr>\n",
            code = entry.code,
            status = entry.status.as_u16(),
            kind = entry.kind,
            help = entry.help,
        ));
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Gleaner: errors</title>\
         <style>body{{font:16px/1.5 system-ui;margin:2rem auto;max-width:60rem;padding:0 1rem;\
         color-scheme:light dark}}td,th{{text-align:start;vertical-align:top;padding:.4rem 1rem .4rem 0}}\
         tr:target{{background:#8882}}</style>\n\
         <h1>Errors</h1>\n<p>Every error is <code>{{\"error\": {{\"code\", \"message\", \"type\", \
         \"link\"}}}}</code>.</p>\n<table><tr><th>code</th><th>status</th><th>type</th>\
         <th>what it means</th></tr>\n{rows}</table></html>\n"
    )
}
