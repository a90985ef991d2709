-- For Lmod. Put it where module files are, such as terrarium-track/1.0.lua, and have it loaded for everybody
-- (LMOD_SYSTEM_DEFAULT_MODULES). `module unload terrarium-track` is a way to opt out of it.
-- The spool has to be there on every node: terrarium track env --format tmpfiles
whatis("records which libraries Python processes load")
help([[
Records which libraries Python processes load. Who does not want it sets TERRARIUM_TRACK=off,
makes a file ~/.config/terrarium/no-track, or unloads this module.
]])
local config = os.getenv("XDG_CONFIG_HOME") or ""
if config == "" then
    config = (os.getenv("HOME") or "") .. "/.config"
end
local is_off = os.getenv("TERRARIUM_TRACK") == "off" or isFile(config .. "/terrarium/no-track")
if mode() == "unload" or not is_off then
    append_path("LD_PRELOAD", @HOOK@)
    -- In a job of `terrarium run`, the run has a directory of its own.
    if not os.getenv("TERRARIUM_RUN") then
        setenv("TERRARIUM_SPOOL", @SPOOL@)
    end
end
-- Containers (Apptainer; for Singularity SINGULARITY_BIND and SINGULARITYENV_ likewise): LD_PRELOAD reaches into them, and the
-- two directories have to be there as well. A directory that is missing on a node keeps containers from starting there.
--append_path("APPTAINER_BIND", @DIRECTORY@ .. ":" .. @DIRECTORY@ .. ":ro", ",")
--append_path("APPTAINER_BIND", @SPOOL@, ",")
--setenv("APPTAINERENV_LD_PRELOAD", @HOOK@)
--setenv("APPTAINERENV_TERRARIUM_SPOOL", @SPOOL@)
