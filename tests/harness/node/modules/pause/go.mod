module rig.invalid/pause

go 1.26
