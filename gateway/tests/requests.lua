-- Tests of the model that a request asks for. It must never take a file's content for a field.
local check = require("check")
local cjson = require("cjson.safe")
local request = require("gatemeter.request")

local tests = {}

-- Looks like an open file.
local function file_of(text)
  local at = 1
  return { read = function(_, size)
    local piece = text:sub(at, at + size - 1)
    at = at + size
    return piece ~= "" and piece or nil
  end }
end

local function form(parts)
  local lines = {}
  for _, part in ipairs(parts) do
    lines[#lines + 1] = "--b\r\nContent-Disposition: form-data; " .. part[1] .. "\r\n\r\n"
      .. part[2]
  end
  return table.concat(lines, "\r\n") .. "\r\n--b--\r\n"
end

function tests.a_model_is_found_in_json_forms_and_paths()
  local multipart = "multipart/form-data; boundary=b"
  for _, case in ipairs({
    { { path = "/v1/chat/completions", json = { model = "a" } }, "a" },
    { { path = "/v1/chat/completions", json = { model = "" } }, nil },
    { { path = "/v1/chat/completions", json = { model = { "a" } } }, nil },
    { { path = "/openai/deployments/fleet/embeddings", json = {} }, "fleet" },
    { { path = "/v1beta/models/gemini-3-pro:streamGenerateContent", json = {} }, "gemini-3-pro" },
    { { path = "/model/us.anthropic.claude-1:0/converse" }, "us.anthropic.claude-1:0" },
    { { path = "/model/arn:aws:bedrock:x/y/invoke" }, "arn:aws:bedrock:x/y" },
    { { path = "/v1/models/gpt-4o" }, nil },
    { { path = "/v1/audio/transcriptions", content_type = multipart,
        body = form({ { 'name="file"; filename="model"', "RIFF" },
                      { 'name="model"', "whisper-1" } }) }, "whisper-1" },
    { { path = "/v1/audio/transcriptions", content_type = multipart,
        body = form({ { 'name="models"', "x" }, { "name=model", "w" } }) }, "w" },
    { { path = "/v1/audio/transcriptions", content_type = multipart, body = "--b" }, nil },
    { { path = "/v1/x", content_type = "text/plain",
        body = form({ { 'name="model"', "w" } }) }, nil } }) do
    check.equal(request.model(case[1], cjson.decode), case[2], case[1].path)
  end
end

function tests.a_model_is_found_in_bodies_on_disk_up_to_a_bound()
  local long = ("x"):rep(3 * 1024 * 1024)
  local multipart = "multipart/form-data; boundary=b"
  for name, text in pairs({ first = '{"model":"m","input":"' .. long .. '"}',
                            last = '{"input":"' .. long .. '","model":"m"}' }) do
    check.equal(request.model({ path = "/", file = file_of(text) }, cjson.decode), "m", name)
  end
  for at = 65500, 65600, 7 do
    local body = form({ { 'name="file"; filename="a"', long:sub(1, at) }, { 'name="model"', "w" },
                        { 'name="image"; filename="b"', long } })
    check.equal(request.model({ path = "/", content_type = multipart, file = file_of(body) },
                              cjson.decode), "w", "at " .. at)
  end
  local beyond = '{"input":"' .. long:rep(4) .. '","model":"m"}'
  check.equal(request.model({ path = "/", file = file_of(beyond) }, cjson.decode), nil)
end

return tests
