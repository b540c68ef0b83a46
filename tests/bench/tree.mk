# A C tree to compile: those of Joblet's own sources that need nothing but the C library. make -f tree.mk SOURCE=... -j2
SOURCE ?= .
FILES := $(wildcard $(SOURCE)/src/base/*.c $(SOURCE)/src/plan/*.c $(SOURCE)/src/channel/*.c $(SOURCE)/src/joblog/*.c \
    $(SOURCE)/src/kernel/*.c $(SOURCE)/src/init/*.c $(filter-out %/filter_generate.c,$(wildcard $(SOURCE)/src/sandbox/*.c)))
OBJECTS := $(patsubst $(SOURCE)/%.c,%.o,$(FILES))

all: $(OBJECTS)
$(OBJECTS): %.o: $(SOURCE)/%.c
	@mkdir -p $(@D)
	@gcc -std=gnu17 -O2 -D_GNU_SOURCE -I$(SOURCE)/src -c -o $@ $<
