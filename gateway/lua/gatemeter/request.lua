-- Tells which model a request asks for: by its JSON, by a field of its form (audio, pictures), or
-- by its path (Azure, Gemini, Bedrock). Body and path go in, a name or nil comes out. Pure; it must
-- never read more of a body than its bound, for it does so while the worker waits.
local inflate = require("gatemeter.inflate")
local scan = require("gatemeter.scan")
local sniff = require("gatemeter.sniff")

local request = {}

-- Of a body that is on disk so much is read, in pieces; a model stands at the beginning.
request.FILE_BYTES_MAX = 8 * 1024 * 1024
local PIECE_BYTES = 64 * 1024
local NAME_BYTES_MAX = 256

local PATHS = {
  "/deployments/([^/]+)/", "/models/([^/:]+):%a+$", "^/model/(.+)/converse$",
  "^/model/(.+)/converse%-stream$", "^/model/(.+)/invoke$",
  "^/model/(.+)/invoke%-with%-response%-stream$",
}

local function named(value)
  return type(value) == "string" and value ~= "" and #value <= NAME_BYTES_MAX and value or nil
end

-- Whether a value is the name of a model, so that there is no need to look further.
function request.is_name(value)
  return named(value) ~= nil
end

-- A body as it is, or as it was before a client packed it with gzip; nil if that is longer than
-- `bytes_max`, or damaged.
function request.unpacked(body, bytes_max)
  if sniff.packing(body) ~= "gzip" then
    return body
  end
  local pieces = {}
  local unpacker = inflate.new(function(bytes) pieces[#pieces + 1] = bytes end, bytes_max)
  local ok = unpacker and unpacker:feed(body)
  if unpacker then
    unpacker:finish()
  end
  return ok and unpacker.ended and table.concat(pieces) or nil
end

-- The name in a path that has been decoded.
function request.model_of_path(path)
  for i = 1, #PATHS do
    local name = path:match(PATHS[i])
    if name then
      return named(name)
    end
  end
end

-- The field `model` of a multipart form.
function request.model_of_form(body)
  local _, at = body:find('[Cc]ontent%-[Dd]isposition:[^\r\n]*[; ]name="?model"?[\r\n;]')
  local value = at and body:match("\r?\n\r?\n([^\r\n]*)\r?\n", at)
  return named(value)
end

local function is_form(content_type)
  return (content_type or ""):lower():find("multipart/form-data", 1, true) ~= nil
end

-- `next_piece()` gives the body piece by piece, then nil.
local function model_of_pieces(next_piece, decode)
  local model
  local scanner = scan.new(function(text)
    local object = decode(text)
    model = model or type(object) == "table" and named(object.model) or nil
  end)
  local left = request.FILE_BYTES_MAX
  local piece = next_piece()
  while piece and left > 0 and not model and not scanner:has_kept('"model":') do
    scanner:feed(piece)
    left = left - #piece
    piece = next_piece()
  end
  scanner:finish()
  return model
end

local function model_of_form_pieces(next_piece)
  local before, left = "", request.FILE_BYTES_MAX
  local piece = next_piece()
  while piece and left > 0 do
    local both = before .. piece
    local model = request.model_of_form(both)
    if model then
      return model
    end
    left, before = left - #piece, both:sub(-1024)
    piece = next_piece()
  end
end

-- `asked`: path, content_type, json (the decoded body), body (its bytes) or file (an open file).
function request.model(asked, decode)
  local model = asked.json and named(asked.json.model)
  if not model and asked.body and is_form(asked.content_type) then
    model = request.model_of_form(asked.body)
  end
  if not model and asked.file then
    local function next_piece()
      return asked.file:read(PIECE_BYTES)
    end
    if is_form(asked.content_type) then
      model = model_of_form_pieces(next_piece)
    else
      model = model_of_pieces(next_piece, decode)
    end
  end
  return model or request.model_of_path(asked.path)
end

return request
