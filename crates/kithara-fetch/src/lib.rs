//! One resource delivered once: store or network, holes only, tee, validate, resume, coalesce
