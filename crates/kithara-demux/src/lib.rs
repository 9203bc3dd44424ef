//! Units in, timed packets out: MPEG-TS, fMP4, packed audio, WebVTT; push parsers without IO
