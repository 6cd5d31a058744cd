-- Tests of what is read from the answers of each provider and endpoint (shapes.txt), however their
-- bytes are cut and their lines end. It must never take a sample as read that was not read whole.
local answer = require("gatemeter.answer")
local check = require("check")
local cjson = require("cjson.safe")
local providers = require("gatemeter.providers")
local request = require("gatemeter.request")
local samples = require("samples")
local shapes = require("gatemeter.shapes")

local tests = {}

local folder = arg[0]:match("^(.*)/[^/]*$") or "."
local list = samples.read(folder .. "/shapes.txt")

local function reader_of(sample)
  return answer.new({
    decode = cjson.decode, clock = function() return 1 end, text_bytes_max = 65536,
    content_type = sample.type, without_output = answer.is_without_output(sample.path),
  })
end

local function summary(reported)
  return { model = reported.model, stream = reported.stream, usage = reported.usage,
           error_type = reported.error_type, mismatch = reported.mismatch,
           repaired = reported.repaired or nil }
end

local function expected(sample)
  local expect = {}
  for name, value in pairs(sample.expect) do
    expect[name] = value ~= cjson.null and value or nil
  end
  expect.stream = sample.expect.stream
  expect.requested_model = nil
  return expect
end

local function read(sample, pieces)
  local reader = reader_of(sample)
  for i = 1, #pieces do
    reader:feed(pieces[i])
  end
  return summary(reader:finish())
end

local function bytes_of(text)
  local pieces = {}
  for i = 1, #text do
    pieces[i] = text:sub(i, i)
  end
  return pieces
end

-- The same answer with other line ends, comments, a byte order mark, as lines allow.
local function variants(sample)
  local crlf = sample.body:gsub("\n", "\r\n")
  local found = { LF = sample.body, CRLF = crlf, BOM = "\239\187\191" .. sample.body }
  if sample.type:find("event-stream", 1, true) then
    found.CR = sample.body:gsub("\n", "\r")
    found.comments = ": \n" .. sample.body:gsub("\n\n", "\n: keep-alive\n\n:\n\n")
  end
  return found
end

function tests.a_usual_answer_tells_the_same_without_a_reader()
  local n_reported = 0
  for _, sample in ipairs(list) do
    local without_output = answer.is_without_output(sample.path)
    local reported = answer.of_object(sample.body, {
      decode = cjson.decode, content_type = sample.type, without_output = without_output,
    })
    if reported then
      n_reported = n_reported + 1
      local reader = reader_of(sample)
      reader:feed(sample.body)
      check.equal(reported, reader:finish(), sample.name)
      for _, encoding in ipairs({ "br", "gzip", "none of ours" }) do
        check.equal(answer.of_object(sample.body, {
          decode = cjson.decode, content_encoding = encoding }), nil)
      end
    end
  end
  assert(n_reported > 40, "most whole answers are usual ones: " .. n_reported)
end

function tests.every_shape_is_read_whole_and_byte_by_byte_with_any_line_ends()
  for _, sample in ipairs(list) do
    for name, body in pairs(variants(sample)) do
      local what = sample.name .. " (" .. name .. ")"
      check.equal(read(sample, { body }), expected(sample), what)
      check.equal(read(sample, bytes_of(body)), expected(sample), what .. ", byte by byte")
    end
  end
end

function tests.every_shape_is_read_wherever_it_is_cut_in_two()
  for _, sample in ipairs(list) do
    local expect = expected(sample)
    for _, body in ipairs({ sample.body, (sample.body:gsub("\n", "\r\n")) }) do
      for at = 1, #body - 1 do
        check.equal(read(sample, { body:sub(1, at), body:sub(at + 1) }), expect,
                    sample.name .. " cut at " .. at)
      end
    end
  end
end

function tests.every_stream_that_brings_something_has_a_first_token()
  for _, sample in ipairs(list) do
    if sample.expect.stream then
      local reader = reader_of(sample)
      reader:feed(sample.body)
      local brings = sample.body:find('[^%a][Aa]h') or sample.body:find('"Po') or
        sample.body:find("QUJD", 1, true)
      check.equal(reader:finish().first_token ~= nil, brings ~= nil, sample.name)
    end
  end
end

function tests.the_classes_of_every_shape_add_up()
  for _, sample in ipairs(list) do
    local usage = read(sample, { sample.body }).usage
    if usage then
      local cached = (usage.cache_read_tokens or 0) + (usage.cache_write_tokens or 0)
      assert(cached <= (usage.input_tokens or 0), sample.name)
      assert((usage.reasoning_tokens or 0) <= (usage.output_tokens or 0), sample.name)
    end
  end
end

function tests.the_path_of_a_shape_names_the_model_if_its_answer_does_not()
  for _, sample in ipairs(list) do
    if sample.expect.model == cjson.null then
      local found = request.model({ path = sample.path }, cjson.decode)
      check.equal(found, sample.expect.requested_model, sample.name)
    end
  end
end

-- The content type is the first thing that goes wrong; bytes say what a stream is.
function tests.every_event_stream_is_read_without_its_content_type()
  for _, sample in ipairs(list) do
    if sample.type:find("event-stream", 1, true) then
      for _, kind in ipairs({ "", "text/plain", "application/json", "application/octet-stream" }) do
        local reader = answer.new({ decode = cjson.decode, clock = function() return 1 end,
                                    content_type = kind })
        reader:feed(sample.body)
        check.equal(summary(reader:finish()), expected(sample), sample.name .. " as " .. kind)
      end
    end
  end
end

function tests.every_row_has_a_form_a_source_and_a_sample()
  local names = {}
  for _, form in ipairs(shapes.FORMS) do
    names[form.name] = true
  end
  for _, row in ipairs(providers.ROWS) do
    local what = row.provider .. " " .. row.endpoint
    assert(row.form == "none" or names[row.form], what .. " has no form")
    assert(row.source:find("^https://"), what .. " has no source")
    assert(not row.also or row.also:find("^https://"), what .. " has a second source that is none")
    local found = false
    for _, sample in ipairs(list) do
      found = found or sample.name:sub(1, #row.sample) == row.sample
    end
    assert(found, what .. " has no sample " .. row.sample)
  end
end

function tests.the_table_in_the_readme_is_made_of_the_rows()
  local file = assert(io.open(folder .. "/../README.md", "rb"))
  local text = file:read("*a")
  file:close()
  for _, row in ipairs(providers.ROWS) do
    local also = row.also and (", [2](%s)"):format(row.also) or ""
    local line = ("| %s | %s | %s | %s | %s | [%s](%s)%s |\n"):format(
      row.provider, row.endpoint, row.stands, row.input, row.output,
      row.checked or providers.CHECKED, row.source, also)
    assert(text:find(line, 1, true), "not in README.md: " .. line)
  end
end

return tests
