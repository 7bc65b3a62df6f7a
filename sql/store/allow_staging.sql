-- what: let ATTACH reach one folder when everything else outside is shut (the backup is made there)
-- params: $folder
-- rows: none
SET allowed_directories = [$folder]
