# SQL files -> C. NNNN_name.sql becomes an entry of migrations[], in the order given; name.sql becomes
# sql_name[]. Works with mawk, gawk and busybox awk: in a replacement text only & is special there,
# so "&&" doubles a backslash and "\\\\" would not.
function finish()
{
    if (version != "")
        entries = entries sprintf("\t{%d, \"%s\", sql_%s},\n", version, name, symbol)
    if (symbol != "")
        print ";"
}

FNR == 1 {
    finish()
    name = FILENAME
    sub(/.*\//, "", name)
    sub(/\.sql$/, "", name)
    symbol = name
    version = ""
    if (name ~ /^[0-9][0-9][0-9][0-9]_/) {
        version = substr(name, 1, 4)
        name = substr(name, 6)
    }
    if (NR == 1)
        print "/* Made from collector/sql by sql2c.awk. */\n#include \"collector/migrate.h\"\n"
    printf "%sconst char sql_%s[] =\n", version != "" ? "static " : "", symbol
}

{
    gsub(/\\/, "&&")
    gsub(/"/, "\\\"")
    gsub(/\?/, "\\?") # no trigraphs
    print "\t\"" $0 "\\n\""
}

END {
    finish()
    printf "\nconst struct migration migrations[] = {\n%s};\n", entries
    print "const size_t migrations_n = sizeof(migrations) / sizeof(migrations[0]);"
}
