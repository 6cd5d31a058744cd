-- What a ledger may hold, but no event could bring there at once: rows of every quarter-hour of the
-- three days before and after a change of clocks (CHANGE_S, seconds since the epoch), and names and
-- reasons that are markup, turn the direction of text, hide characters or have no end.

CREATE TEMP TABLE spread AS
  WITH RECURSIVE step(k) AS (SELECT -288 UNION ALL SELECT k + 1 FROM step WHERE k < 287)
  SELECT one.*, k FROM (SELECT * FROM quarter GROUP BY series ORDER BY n DESC LIMIT 8) AS one, step;
UPDATE spread SET
  at = CHANGE_S / 900 + k,
  input_uncached = input_uncached + (k + 288) * 37 % 1000,
  output_text = output_text + (k + 288) * 53 % 700;
ALTER TABLE spread DROP COLUMN k;
INSERT INTO quarter SELECT * FROM spread;

CREATE TEMP TABLE name (idx INTEGER PRIMARY KEY, text TEXT NOT NULL);
INSERT INTO name VALUES
  (0, '<img src=x onerror="window.hostile=1">'),
  (1, '"><script>window.hostile=1</script>'),
  (2, 'javascript:window.hostile=1//'' onmouseover=''window.hostile=1'),
  (3, char(0x202e) || 'gnp.exe' || char(0x202c) || ' ' || char(0x2067) || 'abc' || char(0x2069)),
  (4, 'שלום עולם مرحبا بالعالم'),
  (5, 'a' || char(27) || '[31mred' || char(7) || char(9) || 'tab' || char(10) || 'line' || char(0x85)),
  (6, replace(hex(zeroblob(500)), '0', 'W')),
  (7, replace(hex(zeroblob(100)), '00', '<b>')),
  (8, '{{constructor.constructor("window.hostile=1")()}} ${window.hostile=1}'),
  (9, '&lt;b&gt; &amp;&#x27; %3Cscript%3E');

CREATE TEMP TABLE model AS
  SELECT model, row_number() OVER (ORDER BY model) - 1 AS place FROM series GROUP BY model;
UPDATE series SET model = (SELECT text FROM model JOIN name ON name.idx = place % 10
  WHERE model.model = series.model) WHERE (SELECT place FROM model WHERE model.model = series.model) < 10;
CREATE TEMP TABLE upstream AS
  SELECT upstream, row_number() OVER (ORDER BY upstream) - 1 AS place FROM series GROUP BY upstream;
UPDATE series SET upstream = (SELECT text FROM upstream JOIN name ON name.idx = place % 10
  WHERE upstream.upstream = series.upstream);
UPDATE series_short SET upstream = (SELECT text FROM upstream JOIN name ON name.idx = place % 10
  WHERE upstream.upstream = series_short.upstream);
UPDATE dead_letter SET reason = (SELECT text FROM name WHERE idx = dead_letter.idx % 10);
UPDATE namespace SET name = (SELECT text FROM name WHERE idx = namespace.id % 10);
