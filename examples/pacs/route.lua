-- Sends every radiograph that Orthanc has received to plainfilm, and nothing that plainfilm made.
-- A series is stable when no instance of it has come for StableAge seconds. The result is a series
-- of its own, so that it makes no other series stable again.
function OnStableSeries(seriesId, tags, metadata)
  local modality = tags['Modality']
  if (modality == 'CR' or modality == 'DX') and tags['Manufacturer'] ~= 'plainfilm' then
    local body = {}
    body['Resources'] = { seriesId }
    body['Asynchronous'] = true
    RestApiPost('/modalities/plainfilm/store', DumpJson(body, true))
  end
end
