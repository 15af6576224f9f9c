"""Vocabulary: what people ask about in programming problems, whatever words they choose.

A concept is a name and a pattern of wordings. A question and a fact that share a concept are about the same thing,
though they share no word: "Is the threshold itself fine?" and "A value equal to the limit counts." The concepts are
those of programming problems in general; none is tied to one data set.
"""

from __future__ import annotations

import re
from functools import lru_cache

# name: wordings, as alternatives of a regular expression over lower-case text; `~` stands for the rest of a word.
_CONCEPTS = {
    "EQUAL": (
        r"equal~|equality|inclusive~|exclusive~|strict~|precisely|>=|<=|"
        r"exact~ (?:at|on|the (?:same|limit|threshold)|equal|that|that many|\d+)|"
        r"(?:is|are|gives?|hits?|at|be|comes? to|appears?) exactly|same as the (?:limit|threshold)|"
        r"at the (?:limit|threshold|bound~|cutoff)|on the (?:limit|boundary|edge|border)|comparison|"
        r"(?:limit|threshold|boundary|endpoint~|bounds) (?:itself|count~|included?|belong~)"
    ),
    "LIMIT": (
        r"limit~|threshold~|cut-?off~|exceed~|surpass~|"
        r"how (?:big|large|high|small|low|many|much) (?:must|does|do|should|need~)|"
        r"(?:above|below|over|under|beyond|from) (?:which|what)|benchmark|qualif~"
    ),
    "BOUND": (
        r"limit~|threshold~|maxim~|minim~|bound~|cap|caps|capped|ceiling|floor value|at most|at least|upper|"
        r"lowest|highest|restriction~|constraint~|range|largest|smallest"
    ),
    "MAXIMUM": (
        r"maxim~|upper (?:bound|limit)|cap|caps|capped|capping|ceiling|at most|clip~|clamp~|cut down|"
        r"too big|how (?:big|large|high) may|the most|(?:can|may) be (?:at most|exceeded)|"
        r"up to (?:what|which|how)|largest allowed"
    ),
    "MINIMUM": (
        r"minim~|lower (?:bound|limit)|at least|too (?:low|small|short|little)|lowest|smallest allowed|"
        r"least|(?:considered|count~ as) (?:small|low)|need~ to (?:be listed|have)|valid from"
    ),
    "ORDER": (
        r"(?<!in )order~|in (?:which|what|a certain|certain) order|sort~|ascend~|descend~|arrang~|rank~|"
        r"reverse~|lexicographic~|alphabetical~|increasing|decreasing|from (?:low|high|small~|large~|a) to|"
        r"a to z|z to a|sequence of the (?:result|output)"
    ),
    "DUPLICATES": (
        r"duplicate~|repeat~|unique~|distinct|repetition~|multiple times|more than once|"
        r"occur~ (?:twice|several|more|three|multiple)|same (?:value|number|element|letter|vowel|item)~|"
        r"appears? (?:twice|again)|dedup~|twice in the|each time it|every (?:occurrence|time)"
    ),
    "EMPTY": (
        r"empty|no (?:elements?|items?|characters?|entries|values|numbers|spans|words)|"
        r"""nothing (?:in|is given|at all)|\[\]|\(\)|\{\}|""|''|blank (?:input|string|list)|"""
        r"zero (?:elements|length)|zero-length|none at all"
    ),
    "BLANK": (
        r"blank~|empty (?:field|line|entr|string|part)~|nothing between|"
        r"between two (?:delimiter|separator)s?"
    ),
    "RETURN_IF_NONE": (
        r"no (?:match~|such|result|\w+ (?:exist|qualif|is found|meets|is valid|is above|is below|satisf)~)|"
        r"not (?:found|exist~)|nothing (?:is )?(?:found|match~|qualif~)|"
        r"none (?:is|are|of|exist~|found|qualif~)|missing match|cannot be found|can't be found|"
        r"there (?:is|are) no|no \w+ (?:is|are) (?:found|valid|above|below)|fails? to find"
    ),
    "MISSING": (
        r"missing|absent|not (?:in|present in|given)|lack~|none values?|\bnone\b|null|default~|placeholder|"
        r'stand~ in|not available|without a (?:value|price|\w+ key)|no "?\w+"? (?:key|field|price|value)|'
        r"unknown key~"
    ),
    "TIE": (
        r"ties?|tied|equally (?:good|large|often|long|close|high)|"
        r"same (?:\w+ )?(?:score|count|frequency|length|value|number)|draw|"
        r"several (?:words|elements|names|people|keys|candidates)|"
        r"more than one (?:word|element|name|candidate|winner)|"
        r"multiple (?:words|elements|candidates|winners|strings|keys)|"
        r"two (?:people|keys|names|words|elements) (?:have|are)"
    ),
    "ROUND": (
        r"round~|truncat~|floor~|ceil~|fraction~|partial|leftover seconds|nearest|half up|integer division|"
        r"whole|do not make up|part of an? (?:hour|minute)|started (?:hour|minute)s?"
    ),
    "DECIMALS": r"decimal~|precision|digits after|places|significant",
    "CASE": (
        r"(?:upper|lower)[- ]?case~|(?:upper|lower) and (?:lower|upper)|case|case-?(?:in)?sensitiv~|"
        r"capital~|letter case|'[a-z]+' and '[a-z]+' be treated"
    ),
    "LOWERCASE": (
        r"lower(?:ed|ing|case)~|lower case~|convert~ to lower|change the case|upper case letters stay|"
        r"capitals"
    ),
    "SEPARATOR": (
        r"separat~|delimit~|join~|split~|"
        r"between (?:the )?(?:names|items|parts|entries|numbers|fields|words|keys)|comma~|semicolon|"
        r"put between|glue"
    ),
    "NEGATIVE": r"negativ~|below (?:zero|0)|less than (?:zero|0)|minus|sign of|sign|absolute",
    "ZERO": r"zero~|\b0\b|owe~ nothing|nothing to pay|free of charge|price of 0|costs? nothing",
    "SPACES": r"space~|whitespace~|trim~|strip~|surrounding blanks|padding around",
    "INDEX": (
        r"index~|indices|position~|0-based|1-based|zero-based|one-based|start~ (?:at|counting|from)|"
        r"count~ (?:from|start)|numbering|first (?:number|position|index|line)|"
        r"begin~ (?:with|at) (?:0|1|zero|one)"
    ),
    "START": (
        r"start~|begin~|from (?:where|which|what)|first (?:value|term|number|day|line)|initial~|"
        r"where does .* begin|opening value|lower end|left end|beginning"
    ),
    "END": (r"end|ends|ending|stop|up to (?:where|which|what)|last|until|extend~|right end|upper end|final"),
    "SIDE": (
        r"larger or smaller|smaller or larger|above or below|below or above|greater or less|"
        r"greater than or less|less than or greater|more or less|which side|older or younger|"
        r'younger or older|bigger or smaller|higher or lower|"?beyond"? mean'
    ),
    "DIRECTION": (
        r"direction|left or right|right or left|to the (?:left|right)|clockwise|forward~|backward~|reversed|"
        r"front to back|back to front|which way|(?:left|right) shift|"
        r"(?:front|beginning|start) or (?:the )?(?:back|end)"
    ),
    "ERROR": (
        r"error~|exception~|raise~|valueerror|invalid|throw~|malformed|illegal|not valid|"
        r"bad (?:input|entr)~|non-numeric|not a number"
    ),
    "UNIT": (
        r"units?|seconds|minutes|hours|days|celsius|fahrenheit|kelvin|kilomet~|metres?|measured in|percent|"
        r"degrees"
    ),
    "RESULT": (
        r"return type|dict or|list of tuples|tuples?|true or false|boolean|string or|"
        r"format of the (?:result|output|return)|output format|type of (?:the )?(?:result|output|return)|"
        r"data structure|shape of the result|just the|what (?:is|gets) returned|return (?:value|a|the)|"
        r"number or (?:a )?list|list or"
    ),
    "SHORT": (
        r"too short|short~|not longer than|fewer (?:characters|than|elements)|"
        r"less than (?:two|three|n) (?:elements|items)|not enough|smaller than the"
    ),
    "LONG": (r"too long|long~|exceed~ the (?:width|length)|greater than the (?:width|length)|does not fit|cut off"),
    "LENGTH": (
        r"length|long|size|how many (?:characters|letters|elements|items|digits)|"
        r"number of (?:characters|letters|elements|items|digits)|width|how wide"
    ),
    "WIDTH": r"width|wide|pad~|fill~|how many characters in total|field size",
    "PAD": r"pad~|leading zero~|zero-?padded|fill~|:02d|two digits|left-pad~|09|\d+:0\d",
    "COUNT": r"how many|number of|count|how often|amount of|most (?:\w+ ){0,2}(?:names|items|parts)|top",
    "FEE": (r"fee|surcharge|charge~|delivery|shipping|base price|fixed (?:cost|price)|small orders|handling"),
    "BONUS": (
        r"bonus~|extra|(?:the|a|pay) raise|increas~|added (?:at the end|to the)|add-on|premium|"
        r"points (?:for|per|each|do|does)|reward|(?:pay|paid) .* for each|each qualifying"
    ),
    "RATE": (
        r"rate~|per (?:day|hour|minute|unit|item|km)|daily|hourly|each (?:day|hour|unit)|a day|an hour|"
        r"penalt~|price (?:per|of (?:one|a|an))|costs? (?:per|a|an)|charged per|percent~|discount~"
    ),
    "FACTOR": r"factor~|multipl~|scal~|times what|coefficient",
    "FREE": (
        r"free|grace~|without (?:being charged|paying|charge)|not charged|no charge|"
        r"before .* (?:charged|fined|pay)"
    ),
    "STEP": (
        r"step~|stride|increment~|by how much|how much .* (?:grow|rise|increase)~|"
        r"every (?:n|which|how many)|interval|advance~"
    ),
    "SHIFT": r"shift~|rotat~|displac~|offset~|by how many (?:places|positions|letters|minutes)|moved by",
    "DELAY": r"delay~|shift the time|later|postpone~|by how many minutes",
    "FILL": (
        r"filler|replac~|placeholder|stands? in (?:place|for)|instead of|substitut~|put in place|fill~|"
        r"middle"
    ),
    "MASK": r"mask~|hide~|hidden|cover~|conceal~|obscur~|readable|visible|uncovered|stars?|asterisk~",
    "VISIBLE": (
        r"visible|readable|uncovered|shown|left open|unmasked|remain~ (?:visible|readable)|"
        r"stays? (?:visible|readable)"
    ),
    "MEASURE": (
        r"measure~|criteri~|score~|rated?|better than|longest or|sum or|largest total|product or|"
        r'add or multiply|a \+ b|a \* b|single number|by "best"|"best"|compare~|the best|which property|'
        r"total or"
    ),
    "CLASH": (
        r"clash~|conflict~|collision~|collid~|key (?:comes|occurs|appears|exists) twice|same key|"
        r"shared keys?|(?:key|keys) (?:is|are) (?:present )?in both|both (?:dicts|dictionaries|maps)|"
        r"in both|takes? precedence|overwrit~"
    ),
    "REPEATED": (
        r"same (?:person|name|key)|name (?:occurs|appears|comes) (?:twice|again|more)|repeated name~|"
        r"added together|sum (?:the|them|up)|occurs? twice|combine~ (?:the )?(?:fines|values|amounts)|"
        r"several entries"
    ),
    "PAIRS": (
        r"neighbo~|adjacent|consecutive|combination~|all pairs|any two|form a pair|zip|next to each other|"
        r"pair up|which two"
    ),
    "TOUCH": r"touch~|share an? (?:end)~point|meet at|just meet|adjoin~|abut~",
    "LEFTOVER": (
        r"leftover~|left over|incomplete|remain~ (?:chunk|piece|part|group|elements|items)|shorter last|"
        r"last (?:chunk|piece|group|part)|not divisible|does not divide|remainder"
    ),
    "VOWEL": r"vowel~|a, e|an a or an e|a or an? e",
    "CONSONANT": r"consonant~",
    "BEST": (
        r"best|winner|wins?|winning|most or the fewest|fewest|highest or lowest|lowest or highest|"
        r"lower scores|high or low|higher scores|most points"
    ),
    "STATUS": r"status~|state",
    "BASE": r"base|radix|binary|numeral system|hexadecimal|octal",
    "TARGET": r"target|refill~|filled? (?:up )?to|up to how many|restock~ to|desired (?:level|stock)|goal",
    "SKIP": r"skip~|ignor~|omit~|leave out|disregard~|left out|exclude~|not count~",
    "BAD": (
        r'"abc"|non-numeric|not (?:a )?numbers?|invalid entr~|bad entr~|'
        r"entr\w+ (?:like|that (?:is|are) not)|garbage|unparsable|cannot be parsed"
    ),
    "MIDNIGHT": r"midnight|24 hours|wrap~|past 24|day boundary|next day|overflow~",
    "SPEED": r"speed~|fast|velocity|km/h|kilometres per hour|quick~",
    "BREAK": r"break~|pause~|stop~|rest",
    "CONJUNCTION": (r"""conjunction~|before the last (?:item|name|word)|'and' or|"and"|last separator|joining word"""),
    "GROW": r"grow~|recurrence|add or multiply|arithmetic|geometric|progression|next term|each term",
    "GROUP": r"group~|bracket~|bucket~|class~|bin|bins",
    "PREFIX": r"prefix~|in front of|at the front|before each|precede~",
    "SUFFIX": r"suffix~|append~|at the end|ellips~|behind each|trailing",
    "CYCLE": r"cycle|how often|every how many|frequency|interval|period~",
    "DIVISOR": r"divis~|multiple~ of|divid~",
    "Y": r""""y"|'y'|\by\b|letter y""",
    "OVERLAP": r"overlap~",
    "NAME": (
        r"(?:function|method)(?:'s)? (?:be )?(?:called|named|name)|name of (?:the )?(?:function|method)|"
        r"be called|what is the function called|intended name|should .* be named|function name|entry point"
    ),
    "PARAMETERS": (
        r"parameters?|arguments?|signature|stand for|"
        r"(?:what (?:are|is)|which of) .{0,30}\b[a-z] and [a-z]\b|inputs? (?:represent|mean|types?)"
    ),
    "EXAMPLE": (
        r"examples?|sample~|doctest~|docstring|expected output~|test case|illustrat~|output for|result for|"
        r"(?:input|inputs) (?:and|with) (?:its|the|expected )?(?:output)~|what (?:is|does|should) \w+\(.*\)|"
        r"shouldn't \w+\(|is \w+\([^)]*\) (?:supposed|really)|in the example|the example~"
    ),
    "PURPOSE": (
        r"supposed to (?:do|check|return|compute|calculate|find|be)|purpose|meant to|certain|specific|"
        r"some kind of|"
        r"what (?:condition|property|relation|criteri\w+|operation|rule|logic|formula|function|transformation)|"
        r"what (?:kind|type of)|"
        r"which (?:condition|property|relation|criteri\w+|operation|rule|formula|numbers|word|element|integers)|"
        r"how (?:is|are|do you|should) .* (?:defined|determined|calculated|computed|derived|transformed)|"
        r"how (?:is|are|do you|should) .* (?:encoded|encrypted)|"
        r"what (?:do you mean|is meant|does it mean|is a|exactly is)|mean by|meant by|definition|define~|"
        r"refer~ to|clarify|under which condition|what should (?:the function|it) (?:do|check)|"
        r"should be checked|should .* meet|look~ for|want (?:the function )?to|logic|formula|algorithm|"
        r"mechanism|method should be used|satisfy|what makes"
    ),
    "CONTRADICTION": (
        r"contradict~|conflicting|inconsisten~|mismatch~|"
        r"which (?:one )?(?:is right|holds|is correct|is true)|is (?:that|this|it) right|correct\?|"
        r"says? .* but|but (?:the|your|by|in)|follow the|mention both|discrepan~|wrong|not match|"
        r"doesn't match|different from the"
    ),
    "RANGE": r"range|from where to where|between which|interval|inclusive of|from 1|bounds",
    "TYPE": r"data types?|types?|integers?|floats?|strings?|non-integer~|boolean",
    "GUARANTEE": (r"guarantee~|always|assume~|can (?:the|it)|may (?:the|it)|is it possible|could (?:the|there)|ever"),
    "CONSTRAINTS": (
        r"constraint~|restriction~|limitations?|range of|how large|maximum value of|size of the input|"
        r"largest (?:n|input)|time complexity|efficien~|performance"
    ),
    "BACKWARD": (
        r"backward~|(?:end|ends) (?:is )?before (?:its|the|it) ?(?:start|starts)?|reversed spans?|"
        r"wrong way round|start~ (?:is )?(?:after|behind|larger than|greater than) (?:its|the) end|"
        r"start > end|inverted"
    ),
    "PICK": (
        r"first or (?:the )?(?:last|latest)|last or (?:the )?first|"
        r"which of (?:several|them|these|those|the)|several match~|multiple match~|more than one match|"
        r"which occurrence|(?:first|last) occurrence|earliest|latest|"
        r"if (?:there are )?(?:several|many|more than one)"
    ),
    "CHANGE": (
        r"ris(?:e|es|ing)|falls?|falling|later minus|earlier minus|subtract~|"
        r"differences? (?:be )?(?:positive|signed|absolute|computed)|absolute difference~|"
        r"sign of the (?:difference|change)|increase or (?:a )?decrease"
    ),
    "COMBINE": (
        r"add or multiply|sum or (?:the )?product|product or (?:the )?sum|multipl\w+ or add~|"
        r"add~ or multipl~|combine~|a \+ b|a \* b|added together or|add up or"
    ),
    "BRUSH": r"symbol~|draw~|drawn|bar (?:made|consist)|made of",
    "HEAD": (
        r"(?:kept?|keep~|stay~|remain~) (?:\w+ ){0,2}(?:at|in|from) the (?:front|start|beginning)|"
        r"how long is the front|(?:front|first|start|beginning) .{0,20}(?:keep|kept|stay|remain)~|"
        r"leading (?:letters|characters)"
    ),
    "TAIL": (
        r"(?:kept?|keep~|stay~|remain~) (?:\w+ ){0,2}(?:at|in|from) the (?:end|back)|"
        r"how long is the (?:end|tail)|(?:end|last|back|tail) .{0,20}(?:keep|kept|stay|remain)~|"
        r"trailing (?:letters|characters)"
    ),
    "FIELD": (
        r"(?:by|on) (?:which|what) (?:field|criterion|attribute|key|property)|rank~ by|sort~ by|which field|"
        r"by (?:age|name|score) or"
    ),
    "LABEL": (
        r"labels?|keys? (?:of|in) the (?:dict|result|groups?|output)|what (?:is|are) the keys?|named by|"
        r"identif~"
    ),
    "ENTRY": (
        r"what (?:do|should) i store|stored?|values? (?:of|in) the (?:dict|result|groups?)|names or|"
        r"count or (?:the )?names|put into each group|what goes into"
    ),
    "MARGIN": r"margin~|toleran~|slack|how far (?:off|outside|away)|leeway|buffer",
    "RANK": r"ranks?|k-th|n-th|kth|nth|which place|second largest|how many-th|place in the",
    "REST": (
        r"digits and spaces|non-letters?|other characters|punctuation|special characters|not letters|"
        r"non-alphabetic|characters (?:that|which) are not|digits or spaces"
    ),
    "RESTART": r"restart~|reset~|starts? (?:over|again|anew)|begin again|from scratch",
    "ROOM": (
        r"room|(?:suffix|ellipsis|dots|it) (?:count~|included?|be part)|"
        r"including the (?:suffix|ellipsis|dots)|total length|on top of the length|count towards"
    ),
    "MOMENT": (
        r"before or after|after or before|first or last|(?:multiply|scale|cap~) (?:first|before|after)|"
        r"order of operations|applied (?:first|before|after)|when do i (?:multiply|scale|cap)"
    ),
    "NOTHING_CUT": (
        r"nothing (?:is|to be|to) (?:cut|removed?|replaced?|hidden)|too short to|short enough|no middle|"
        r"fits? already"
    ),
    "ORIGIN": (
        r"front or (?:the )?back|back or (?:the )?front|(?:from|at) (?:the )?(?:front|back|left|right)|"
        r"which end|(?:beginning|start) or (?:the )?end|(?:end|back) or (?:the )?(?:beginning|start|front)|"
        r"from behind"
    ),
    "PAUSE": (
        r"which days|days off|days? (?:is|are|be) (?:skipped|left out)|not watered|no water~|"
        r"skip~ (?:\w+ )?days?|paus~"
    ),
    "AFTER": (
        r"(?:between|behind|after) (?:the )?numbers?|number and (?:the )?(?:text|line)|"
        r"follows? (?:the|each) number"
    ),
    "POINT": (
        r"length (?:zero|0)|zero-length|zero length|start (?:equals|is equal to|and end are)|single points?|"
        r"empty spans?|points? spans?"
    ),
    "SHORTEST": (
        r"too short|shorter than|minim\w+ length|shortest|how long must|at least how long|length must|"
        r"long enough"
    ),
    "FORM": (
        r"only the (?:final|last)|running (?:totals?|sum)|after each|intermediate|single total|"
        r"list of totals|final total|every step|partial sums?|one number"
    ),
    "VERDICT": r"""true or|true/false|yes or no|yes/no|"yes"|'yes'|boolean~|outcome|verdict""",
    "DIAGONAL": (
        r"diagonal~|share a side|share an? (?:edge|corner)|next to each other|neighbo~|adjacent|4-connected|"
        r"8-connected"
    ),
    "MODULUS": r"modul~|mod|remainder of|10\^9|huge|overflow|1e9",
    "IN_PLACE": r"in place|modif~ the (?:input|original|list)|original list|mutat~|copy of the (?:list|input)",
    "NESTED": r"nested|recursiv~|deep",
    "KEEP": r"keep~|kept|retain~|stay~|remain~",
}

# What a fact of this name is about, where a source names its facts by what they are.
_TOPICS = {
    "after": "AFTER SEPARATOR", "arguments": "PARAMETERS", "backward": "BACKWARD", "bad": "BAD ERROR", "base": "BASE",
    "begin": "START", "best": "BEST", "blank": "BLANK", "blank_lines": "BLANK EMPTY", "blanks": "SPACES",
    "bonus": "BONUS", "brush": "BRUSH FILL", "cap": "MAXIMUM", "case": "CASE", "change": "CHANGE", "clash": "CLASH",
    "combine": "COMBINE", "conjunction": "CONJUNCTION", "consonant_points": "CONSONANT", "count": "COUNT",
    "cycle": "CYCLE", "decimals": "DECIMALS ROUND", "default": "MISSING", "delay": "DELAY", "digits": "COUNT",
    "direction": "DIRECTION ORDER", "divisor": "DIVISOR", "duplicates": "DUPLICATES", "edge": "ORIGIN DIRECTION",
    "empty": "EMPTY", "end": "END", "ends": "EQUAL END", "entry": "ENTRY", "factor": "FACTOR",
    "fee": "FEE", "fill": "FILL", "filler": "FILL", "form": "FORM RESULT", "free": "FREE",
    "gaps": "SPACES", "group": "GROUP LENGTH", "growth": "GROW COMBINE", "head": "HEAD", "inclusive": "EQUAL",
    "index_base": "INDEX", "key": "FIELD", "label": "LABEL", "last": "EQUAL END",
    "leftover": "LEFTOVER", "length": "LENGTH", "limit": "LIMIT", "lowercase": "LOWERCASE CASE", "lowest": "MINIMUM",
    "margin": "MARGIN", "mask": "MASK", "maximum": "MAXIMUM", "measure": "MEASURE COMBINE", "midnight": "MIDNIGHT",
    "minimum": "MINIMUM", "missing": "MISSING", "modulus": "MODULUS",
    "name": "NAME", "moment": "MOMENT", "most": "COUNT",
    "negative": "NEGATIVE", "neighbours": "DIAGONAL", "not_found": "RETURN_IF_NONE", "nothing_cut": "NOTHING_CUT",
    "nothing_found": "RETURN_IF_NONE EMPTY", "order": "ORDER", "origin": "ORIGIN DIRECTION", "pad": "PAD",
    "padded": "PAD", "padding": "PAD FILL", "partners": "PAIRS", "pause": "PAUSE SKIP", "pick": "PICK",
    "points": "POINT ZERO", "prefix": "PREFIX", "rank": "RANK", "rate": "RATE", "repeated": "REPEATED DUPLICATES",
    "rest": "REST", "restart": "RESTART", "result": "RESULT", "result_type": "RESULT", "room": "ROOM",
    "rounding": "ROUND", "separator": "SEPARATOR", "shift": "SHIFT", "shortest": "SHORTEST MINIMUM",
    "shown_end": "ORIGIN", "side": "SIDE", "sign": "NEGATIVE", "signature": "NAME PARAMETERS", "size": "LENGTH",
    "skip": "SKIP", "speed": "SPEED", "start": "START", "start_at": "INDEX START", "status": "STATUS", "step": "STEP",
    "stop": "BREAK", "suffix": "SUFFIX", "tail": "TAIL", "target": "TARGET", "tie": "CLASH TIE", "ties": "TIE",
    "too_long": "LONG", "too_short": "SHORT", "touching": "TOUCH", "trim": "SPACES", "unit": "UNIT",
    "verdict": "VERDICT RESULT", "visible": "VISIBLE", "vowel_points": "VOWEL", "which": "PICK", "width": "WIDTH",
    "y": "Y", "yes_no": "VERDICT RESULT", "zero": "ZERO", "zeros": "ZERO",
}  # fmt: skip

# A concept in a question hides those that it contains: "at the limit" is about equality, not about the limit.
_HIDES = {
    "BAD": "ERROR", "BLANK": "EMPTY", "BONUS": "COUNT LIMIT", "BREAK": "UNIT COUNT",
    "CLASH": "DUPLICATES TIE", "CONJUNCTION": "SEPARATOR", "DELAY": "UNIT COUNT", "DUPLICATES": "COUNT",
    "EMPTY": "SEPARATOR RETURN_IF_NONE RESULT",
    "EQUAL": "LIMIT BOUND MAXIMUM MINIMUM COUNT FEE RATE BONUS TARGET", "FEE": "LIMIT BONUS",
    "FREE": "FEE RATE", "LIMIT": "UNIT", "MASK": "LONG", "MIDNIGHT": "UNIT", "NEGATIVE": "COUNT", "PAD": "WIDTH FILL",
    "RATE": "FEE BONUS UNIT", "REPEATED": "DUPLICATES TIE", "RETURN_IF_NONE": "LIMIT BOUND SEPARATOR RESULT COUNT",
    "SHORT": "VISIBLE MASK LENGTH COUNT LONG", "SIDE": "LIMIT", "SKIP": "COUNT LENGTH", "SPACES": "SEPARATOR",
    "SPEED": "UNIT", "TARGET": "COUNT FILL MAXIMUM PAD WIDTH", "TIE": "ORDER DUPLICATES BOUND MAXIMUM MINIMUM BEST",
}  # fmt: skip
_HIDDEN = {name: frozenset(hidden.split()) for name, hidden in _HIDES.items()}

# What questions have in common, whatever they are about.
GENERAL = frozenset({"PURPOSE", "GUARANTEE", "TYPE", "CONTRADICTION", "EXAMPLE", "CONSTRAINTS", "KEEP", "ERROR"})


def topics(name: str) -> frozenset[str]:
    """The concepts that a fact of this name is about, by its name alone; empty where it says nothing."""
    return frozenset(_TOPICS.get(name, "").split())


def asked_concepts(question: str) -> frozenset[str]:
    """The concepts that a question asks about: those it mentions without those that others of them contain."""
    mentioned = concepts(question)
    return mentioned.difference(*(_HIDDEN.get(name, frozenset()) for name in mentioned))


_REST = "[a-z]*"


def _pattern(wordings: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![a-z0-9_])(?:{wordings.replace('~', _REST)})(?![a-z0-9_])")


_PATTERNS = tuple((name, _pattern(wordings)) for name, wordings in _CONCEPTS.items())


@lru_cache(maxsize=50_000)
def concepts(text: str) -> frozenset[str]:
    """The concepts that a text mentions."""
    text = text.lower()
    return frozenset(name for name, pattern in _PATTERNS if pattern.search(text))
